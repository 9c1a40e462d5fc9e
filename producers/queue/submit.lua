--[[
submit: accept a chunk of changes.

For each change: refuse it if its ID is known or its lane is full, else store its payload, append it to its lane, and
put the lane on a schedule if it was empty. Atomic so that a lane that is not empty is always on a schedule (no wake-up
can be lost), an ID is accepted once, and a batch counts what it was given.

A lane that becomes non-empty joins behind the lanes of its user that already wait for the bucket: it takes the next
free turn, so that nobody who waits loses a turn to a newcomer. A lane on the bulk schedule that gets an interactive
change moves up as a whole, until that change has ended.

A chunk of a batch is refused as a whole, and nothing is written, if the batch was begun with other content, if it is
sealed and this would add to it (unless changes of it found their lane full), or if it was cancelled.

KEYS  1 schedule   2 bulk schedule   3 lanes   4 bell   5 batch   6 members   7 batches   8 results
ARGV  1 lane prefix   2 head prefix   3 job prefix   4 result prefix   5 bucket prefix   6 bucket suffix
      7 how many changes a lane may hold   8 priority: "interactive" or "bulk"   9 joins others of its lane: 1 or 0
      10 batch ID, "" for none (then KEYS 5 to 8 are not used)   11 digest of the batch's content
      12 name of this chunk, "" where chunks may differ between runs   13 digest of all up to its end
      14 name of the chunk before it, "" for none   15 digest of all up to the end of that one
      16 how long a batch without any change is kept (ms)
      17 letter prefix, if the changes are dead letters that are sent again; else ""
      then for each change: lane, job ID, payload; with letters also: the job ID of its letter, which goes with it
Reply {now (ms, Redis clock), one integer for each change: n > 0 accepted as the n-th of its lane, 0 already there,
       -1 lane full, -5 its letter is gone; or for all: -2 other content, -3 sealed, -4 cancelled}
]]
local schedule, bulk, lanes, bell = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local batch, members, batches, results = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local lane_prefix, head_prefix, job_prefix, result_prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local bucket_prefix, bucket_suffix, lane_limit = ARGV[5], ARGV[6], tonumber(ARGV[7])
local is_bulk, joins, batch_id = ARGV[8] == 'bulk', ARGV[9] == '1', ARGV[10]
local content, chunk, digest, keep_empty_ms = ARGV[11], ARGV[12], ARGV[13], ARGV[16]
local before_it, digest_before = ARGV[14], ARGV[15]
local letter_prefix = ARGV[17]
local FIRST, STEP = 18, letter_prefix == '' and 3 or 4
local KEEP_MS = 60000
local PROMISED = 0.5   -- see claim.lua of the worker
local OTHER_CONTENT, SEALED, CANCELLED, LETTER_GONE = -2, -3, -4, -5

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)

local taken = {}   -- members that this call added

-- A batch knows its changes for as long as it lives, longer than their results may.
local function known(job_id)
  if batch_id == '' then return redis.call('EXISTS', job_prefix .. job_id, result_prefix .. job_id) > 0 end
  local member = string.sub(job_id, #batch_id + 3)   -- what follows "<batch>//"
  return taken[member] or redis.call('SISMEMBER', members, member) == 1
end

local function why_not()
  local before = redis.call('HMGET', batch, 'content', 'sealed', 'cancelled', chunk, 'short')
  if before[1] and before[1] ~= content then return OTHER_CONTENT end
  if chunk ~= '' and before[4] and before[4] ~= digest then return OTHER_CONTENT end
  if before_it ~= '' and redis.call('HGET', batch, before_it) ~= digest_before then return OTHER_CONTENT end
  if before[3] then return CANCELLED end
  if not before[2] or tonumber(before[5] or 0) > 0 then return nil end
  for i = FIRST, #ARGV, STEP do
    if not known(ARGV[i + 1]) then return SEALED end
  end
end

if batch_id ~= '' then
  local refusal = why_not()
  if refusal then
    local reply = {now_ms}
    for _ = FIRST, #ARGV, STEP do reply[#reply + 1] = refusal end
    return reply
  end
end

local function due_ms(lane)
  local bucket = bucket_prefix .. string.match(lane, '^[^:]*') .. bucket_suffix
  local promised = redis.call('HMGET', bucket, 'turn', 'turn pace')
  local turn = tonumber(promised[1] or 0)
  if turn <= now_us then return now_ms end
  local next_turn = turn + tonumber(promised[2] or 0)
  redis.call('HSET', bucket, 'turn', next_turn)
  local keep_ms = math.ceil((next_turn - now_us) / 1000) + KEEP_MS
  if redis.call('PTTL', bucket) < keep_ms then redis.call('PEXPIRE', bucket, keep_ms) end
  return math.floor(turn / 1000) + PROMISED
end

-- Lanes that were empty go on the schedule together, at the end: a command for each costs more than the change itself.
local on_schedule, on_lanes, fresh = {}, {}, {}
local woken = false

local function schedule_new(lane, due)
  on_schedule[#on_schedule + 1], on_schedule[#on_schedule + 2] = due, lane
  on_lanes[#on_lanes + 1], on_lanes[#on_lanes + 2] = 0, lane
  fresh[lane] = true
end

-- A lane that holds both kinds counts its interactive ones in `urgent`, and is on the schedule while there are any.
local function mix(lane, held)
  local head = head_prefix .. lane
  local bulk_due = redis.call('ZSCORE', bulk, lane)
  if is_bulk then
    if not bulk_due then redis.call('HSETNX', head, 'urgent', held) end
  elseif bulk_due then
    redis.call('HSET', head, 'urgent', 1)
    redis.call('ZREM', bulk, lane)
    redis.call('ZADD', schedule, bulk_due, lane)
    woken = true
  elseif redis.call('HEXISTS', head, 'urgent') == 1 then
    redis.call('HINCRBY', head, 'urgent', 1)
  end
end

local reply = {now_ms}
local added, deepest, deepest_lane = {}, 0, nil

-- What may be refused, for a key of a wrong type, comes before what would stand alone then.
local function accept(lane, job_id, payload, letter)
  local list = lane_prefix .. lane
  if known(job_id) then return 0 end
  if letter and redis.call('EXISTS', letter) == 0 then return LETTER_GONE end
  local held = redis.call('LLEN', list)
  if held >= lane_limit then return -1 end
  local due = held == 0 and due_ms(lane)
  if held > 0 and not fresh[lane] then mix(lane, held) end
  if joins then redis.call('HSET', head_prefix .. lane, 'joins', job_id) end
  redis.call('SET', job_prefix .. job_id, payload)
  redis.call('RPUSH', list, job_id)
  if letter then redis.call('DEL', letter) end
  if due then schedule_new(lane, due) end
  local member = string.sub(job_id, #batch_id + 3)
  added[#added + 1], taken[member] = member, true
  if held >= deepest then deepest, deepest_lane = held + 1, lane end
  return held + 1
end

local fine, problem = true, nil
for i = FIRST, #ARGV, STEP do
  local letter = STEP == 4 and letter_prefix .. ARGV[i + 3] or nil
  fine, problem = pcall(accept, ARGV[i], ARGV[i + 1], ARGV[i + 2], letter)
  if not fine then break end
  reply[#reply + 1] = problem
end
if #on_lanes > 0 then
  redis.call('ZADD', is_bulk and bulk or schedule, unpack(on_schedule))
  redis.call('ZADD', lanes, unpack(on_lanes))
  woken = true
end

if batch_id ~= '' then
  redis.call('HSETNX', batch, 'content', content)
  redis.call('HSETNX', batch, 'priority', ARGV[8])
  if redis.call('HSETNX', batch, 'created', now_ms) == 1 then
    redis.call('ZADD', batches, now_ms, batch_id)
    -- The oldest may have expired. Two for each new one, so that the list cannot grow for ever.
    for _, oldest in ipairs(redis.call('ZRANGE', batches, 0, 1)) do
      if redis.call('EXISTS', string.sub(batch, 1, #batch - #batch_id) .. oldest) == 0 then
        redis.call('ZREM', batches, oldest)
      end
    end
  end
  if chunk ~= '' then redis.call('HSETNX', batch, chunk, digest) end
  if #added > 0 then
    redis.call('HINCRBY', batch, 'total', #added)
    redis.call('SADD', members, unpack(added))
    if deepest > tonumber(redis.call('HGET', batch, 'deepest') or 0) then
      redis.call('HSET', batch, 'deepest', deepest, 'deepest lane', deepest_lane)
    end
    for _, key in ipairs({batch, members, results}) do redis.call('PERSIST', key) end
    local ended = redis.call('HGET', batch, 'end')
    if ended then   -- it was complete, and is no more
      redis.call('XDEL', results, ended)
      redis.call('HDEL', batch, 'end', 'complete')
    end
  elseif redis.call('HEXISTS', batch, 'total') == 0 then
    redis.call('PEXPIRE', batch, keep_empty_ms)
  end
end
if woken and redis.call('LLEN', bell) == 0 then redis.call('LPUSH', bell, '1') end
if not fine then error(problem, 0) end
return reply
