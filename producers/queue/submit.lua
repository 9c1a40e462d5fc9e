--[[
submit: append a chunk of changes to their lanes.

While Redis's memory is almost full, a chunk with a new change is refused as a whole, and nothing is written.
A change is rejected if its ID was accepted before or is that of another app's job, if its lane is full, or if the dead
letter that it replays is gone.
Otherwise its payload is stored, its ID goes to the end of its lane, and a lane that was empty goes on a schedule.
Atomic so that a lane that is not empty is always on a schedule (no wake-up can be lost), an ID is accepted once, and
a batch counts exactly what was added to it.

If other lanes of the user wait for its bucket, a lane that was empty reserves the next free time after theirs. A bulk
lane that gets an interactive change is on the interactive schedule until that change has finished.

A chunk of a batch is rejected as a whole, and nothing is written, if the batch has other content or was cancelled. A
sealed batch rejects a chunk with a new change, unless changes of the batch were rejected before by a full lane.

ARGV  1 lane limit (changes)   2 priority: "interactive" or "bulk"   3 coalescable: 1 or 0
      4 batch ID, "" for none   5 digest of the batch's content
      6 name of this chunk, "" if chunks may differ between runs   7 digest of all content up to its end
      8 name of the chunk before it, "" for none   9 digest of all content up to the end of that one
      10 replay: 1 if every change replays a dead letter, else 0
      11 share of `maxmemory` from which on changes are refused (percent)
      then for each change: lane, job ID, payload; in a replay also the job ID of the dead letter, which is deleted
Reply {now (ms, Redis clock), then for each change its place in its lane (1 is the head) or a VERDICT};
      an error with the code OOM if memory is almost full
]]
-- luacheck: read globals BATCH_MARK BUCKET_SUFFIX BUCKET_TTL_MS LATE RESERVED EMPTY_BATCH_TTL_MS VERDICT
-- luacheck: read globals FUNCTION_BYTES MAX_PAYLOAD_BYTES memory
local lane_limit, priority, coalescable = tonumber(ARGV[1]), ARGV[2], ARGV[3] == '1'
local batch_id, content, chunk, chunk_digest = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local previous_chunk, previous_digest, is_replay = ARGV[8], ARGV[9], ARGV[10] == '1'
local full_percent = ARGV[11]
local is_bulk, has_batch = priority == 'bulk', batch_id ~= ''
local schedule, bulk_schedule = KEY.schedule, KEY.bulk_schedule
local batch, members = KEY.batch .. batch_id, KEY.batch_members .. batch_id
local results = KEY.batch_results .. batch_id
local changes = {}   -- each {lane, job ID, payload, job ID of the dead letter or false}
for i = 12, #ARGV, is_replay and 4 or 3 do
  changes[#changes + 1] = {ARGV[i], ARGV[i + 1], ARGV[i + 2], is_replay and ARGV[i + 3]}
end

local seconds, micros = unpack(redis.call('TIME'))
local now_us = seconds * 1000000 + micros
local now_ms = math.floor(now_us / 1000)

local added = {}           -- members of the batch that this call adds
local is_added = {}
local new_lanes = {}       -- lanes that were empty before this call
local reply = {now_ms}
local should_wake = false
local deepest, deepest_lane = 0, nil

local function member_of(job_id)
  return string.sub(job_id, #batch_id + #BATCH_MARK + 1)
end

-- The members of a batch outlive its results.
local function is_member(job_id)
  local member = member_of(job_id)
  return is_added[member] or redis.call('SISMEMBER', members, member) == 1
end

local function is_change(key)
  local stored = redis.pcall('GETRANGE', key, 0, MAX_PAYLOAD_BYTES - 1)
  return type(stored) == 'string' and string.find(stored, FUNCTION_BYTES, 1, true) ~= nil
end

-- Return the verdict on an ID that has been used, nil if it has not. Other arq apps have keys of the same prefixes.
local function rejected_by_id(job_id)
  if has_batch and is_member(job_id) then return VERDICT.ALREADY_THERE end
  local job, result = KEY.job .. job_id, KEY.result .. job_id
  if redis.call('EXISTS', job, result) == 0 then return nil end
  if not is_change(job) and not is_change(result) then return VERDICT.FOREIGN_ID end
  return not has_batch and VERDICT.ALREADY_THERE or nil
end

local function has_new_change()
  for _, change in ipairs(changes) do
    if not rejected_by_id(change[2]) then return true end
  end
  return false
end

-- Return the verdict on the whole chunk, nil if the batch accepts it.
local function rejected_by_batch()
  local stored_content, sealed, cancelled, stored_digest, lane_full_count =
    unpack(redis.call('HMGET', batch, 'content', 'sealed', 'cancelled', chunk, 'short'))
  if stored_content and stored_content ~= content then return VERDICT.OTHER_CONTENT end
  if chunk ~= '' and stored_digest and stored_digest ~= chunk_digest then return VERDICT.OTHER_CONTENT end
  -- The chunk before may be in flight still, or was refused by a full Redis; the digest of this one covers it too.
  local stored_previous = previous_chunk ~= '' and redis.call('HGET', batch, previous_chunk)
  if stored_previous and stored_previous ~= previous_digest then return VERDICT.OTHER_CONTENT end
  if cancelled then return VERDICT.CANCELLED end
  if not sealed or tonumber(lane_full_count or 0) > 0 then return nil end
  for _, change in ipairs(changes) do
    local _, job_id = unpack(change)
    if not is_member(job_id) then return VERDICT.SEALED end
  end
end

-- Return when a lane that was empty is due (ms): at once, at a time that it reserves behind the user's other lanes, or
-- when no request of its last change can be applied any more.
local function due_ms(lane)
  local user, trader = string.match(lane, '^([^:]*):(.*)$')
  local bucket = KEY.bucket .. user .. BUCKET_SUFFIX
  local reserved_until, spacing, late_until =
    unpack(redis.call('HMGET', bucket, 'turn', 'turn pace', LATE .. trader))
  reserved_until, late_until = tonumber(reserved_until or 0), tonumber(late_until or 0)
  if late_until > now_us then
    local earliest = math.ceil(late_until / 1000)
    redis.call('HSET', KEY.head .. lane, 'earliest', earliest)   -- also for whoever wakes the lane
    if late_until > reserved_until then return earliest end
  end
  if reserved_until <= now_us then return now_ms end
  local next_reserved = reserved_until + tonumber(spacing or 0)
  redis.call('HSET', bucket, 'turn', next_reserved)
  local ttl_ms = math.ceil((next_reserved - now_us) / 1000) + BUCKET_TTL_MS
  if redis.call('PTTL', bucket) < ttl_ms then redis.call('PEXPIRE', bucket, ttl_ms) end
  return math.floor(reserved_until / 1000) + RESERVED
end

-- A lane that holds both priorities counts its interactive changes in `urgent`, and is on the interactive schedule.
local function update_priority(lane, queued)
  local head = KEY.head .. lane
  local bulk_due = redis.call('ZSCORE', bulk_schedule, lane)
  if is_bulk then
    if not bulk_due then redis.call('HSETNX', head, 'urgent', queued) end
  elseif bulk_due then
    redis.call('HSET', head, 'urgent', 1)
    redis.call('ZREM', bulk_schedule, lane)
    redis.call('ZADD', schedule, bulk_due, lane)
    should_wake = true
  elseif redis.call('HEXISTS', head, 'urgent') == 1 then
    redis.call('HINCRBY', head, 'urgent', 1)
  end
end

-- Commands that fail on a key of a wrong type come before the first write, so that no change is half stored.
local function accept(lane, job_id, payload, dead_letter_id)
  local list, dead_letter = KEY.lane .. lane, dead_letter_id and KEY.dead_letter .. dead_letter_id
  local verdict = rejected_by_id(job_id)
  if verdict then return verdict end
  if dead_letter and redis.call('EXISTS', dead_letter) == 0 then return VERDICT.DEAD_LETTER_GONE end
  local queued = redis.call('LLEN', list)
  if queued >= lane_limit then return VERDICT.LANE_FULL end
  local due = queued == 0 and due_ms(lane)
  if queued > 0 and not new_lanes[lane] then update_priority(lane, queued) end
  if coalescable then redis.call('HSET', KEY.head .. lane, 'joins', job_id) end
  redis.call('SET', KEY.job .. job_id, payload)
  redis.call('RPUSH', list, job_id)
  if dead_letter then redis.call('DEL', dead_letter) end
  if due then new_lanes[lane] = due end
  local member = member_of(job_id)
  added[#added + 1], is_added[member] = member, true
  if queued >= deepest then deepest, deepest_lane = queued + 1, lane end
  return queued + 1
end

-- Use one command for all lanes: a command per lane would cost more than the rest of the script.
local function schedule_new_lanes()
  local due_times, indexed = {}, {}
  for lane, due in pairs(new_lanes) do
    due_times[#due_times + 1], due_times[#due_times + 2] = due, lane
    indexed[#indexed + 1], indexed[#indexed + 2] = 0, lane
  end
  if #indexed == 0 then return end
  redis.call('ZADD', is_bulk and bulk_schedule or schedule, unpack(due_times))
  redis.call('ZADD', KEY.lanes, unpack(indexed))
  should_wake = true
end

-- Remove up to two expired batches for each new one, so that the list of batches cannot grow for ever.
local function list_batch()
  redis.call('ZADD', KEY.batches, now_ms, batch_id)
  for _, oldest in ipairs(redis.call('ZRANGE', KEY.batches, 0, 1)) do
    if redis.call('EXISTS', KEY.batch .. oldest) == 0 then redis.call('ZREM', KEY.batches, oldest) end
  end
end

local function count_in_batch()
  if #added == 0 then redis.call('DEL', KEY.never) end   -- a full Redis then permits what follows (see Script.load)
  redis.call('HSETNX', batch, 'content', content)
  redis.call('HSETNX', batch, 'priority', priority)
  if redis.call('HSETNX', batch, 'created', now_ms) == 1 then list_batch() end
  if chunk ~= '' then redis.call('HSETNX', batch, chunk, chunk_digest) end
  if #added == 0 then
    if redis.call('HEXISTS', batch, 'total') == 0 then redis.call('PEXPIRE', batch, EMPTY_BATCH_TTL_MS) end
    return
  end
  redis.call('HINCRBY', batch, 'total', #added)
  redis.call('SADD', members, unpack(added))
  if deepest > tonumber(redis.call('HGET', batch, 'deepest') or 0) then
    redis.call('HSET', batch, 'deepest', deepest, 'deepest lane', deepest_lane)
  end
  for _, key in ipairs({batch, members, results}) do redis.call('PERSIST', key) end
  local end_entry = redis.call('HGET', batch, 'end')
  if end_entry then   -- the batch was complete before this
    redis.call('XDEL', results, end_entry)
    redis.call('HDEL', batch, 'end', 'complete')
  end
end

local verdict_on_chunk = has_batch and rejected_by_batch()
if verdict_on_chunk then
  for _ = 1, #changes do reply[#reply + 1] = verdict_on_chunk end
  return reply
end
local refusal = memory.refusal(full_percent, #changes, now_us)
if refusal and has_new_change() then return refusal end
local ok, verdict_or_error = true, nil
for _, change in ipairs(changes) do
  ok, verdict_or_error = pcall(accept, unpack(change))
  if not ok then break end   -- the changes accepted before are still scheduled and counted
  reply[#reply + 1] = verdict_or_error
end
schedule_new_lanes()
if has_batch and (ok or #added > 0) then count_in_batch() end
if should_wake and redis.call('LLEN', KEY.wakeups) == 0 then redis.call('LPUSH', KEY.wakeups, '1') end
if not ok then error(verdict_or_error, 0) end
return reply
