--[[
claim: take the due heads.

Goes through due lanes by due time, interactive ones first, with a share kept for bulk. A lane whose user has a slot
within the look-ahead is claimed: the slot is taken from the user's bucket and from the egress's (see bucket.lua), and
the lane's score becomes the end of its lease. A lane whose slot is further away, or that is paused, is put off. While
the egress's breaker is open, one lane is claimed when it is time to probe, and no other until it is settled. A head that
several workers lost is claimed alone, so that it is known what they died of.
Atomic so that a slot is given once and a lane is never held by two.

KEYS  1 schedule   2 bulk schedule   3 lanes   4 bell   5 egress   6 counts   7 paused   8 rates   9 egresses
      10 troubles   11 refused
ARGV  1 lane prefix   2 head prefix   3 job prefix   4 batch prefix   5 name of the egress
      6 how many lanes at the most   7 token (each claim gets <token>.<n>)
      8 lease, counted from the slot (ms)   9 largest payload (bytes)   10 most changes that may join a head
      11 one in how many claims is bulk's while both wait   from 12: see bucket.lua
Reply {now (ms), us until the next lane is due (-1: none is scheduled), one array for each claim:
       {lane, job ID, wait until the slot (us), slot number, lapsed leases of this head, payload or false, state or
       false, array of those that may join it: job ID, payload, job ID, payload, ..., 0 or 1: other users fail too or 2: it is
       the probe, mark of its user or false (see REFUSED)}}; a payload that is absent or too large is false. Where something cannot be read the array is {lane, what was done about it, whether the lane is
       still scheduled (1 or 0)}: what has no readable name is dropped and counted as "unreadable", a lane whose keys
       are of a wrong type is put off for a minute.
]]
local schedule, bulk, lanes, bell, egress, counts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local paused, troubles, refused = KEYS[7], KEYS[10], KEYS[11]
local lane_prefix, head_prefix, job_prefix, batch_prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local egress_name, most, token = ARGV[5], tonumber(ARGV[6]), ARGV[7]
local lease_ms, largest, most_joined, share = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
bucket.begin(12, KEYS[8], egress)

local PUT_OFF_MS = 60000
local PAUSED_MS = 30000    -- a paused lane is looked at this often; resuming wakes it
local SPARE_LANES = 32     -- lanes read beyond `most`, since some are only put off
local TO_PROBE = 500       -- lanes read to find one of a user that did not have the trouble yet
local NAME = '^[!-~]+$'    -- names are printable ASCII without spaces
local LONGEST_ID = 128
local ALONE = 3            -- lapses from which on a head is suspected of killing its workers
local JOINS = '\168coalesce\195'   -- as the producers' codec.py writes it: msgpack

local now, now_ms = bucket.now, math.floor(bucket.now / 1000)
if bucket.open then
  if bucket.fresh_at > bucket.horizon then return {now_ms, bucket.fresh_at - bucket.look_ahead - now} end
  most = 1
end
local wait = bucket.egress_slot()
if wait > bucket.horizon then return {now_ms, wait - bucket.look_ahead - now} end
local pauses = redis.call('EXISTS', paused) == 1
if pauses and (redis.call('HEXISTS', paused, 'everything') + redis.call('HEXISTS', paused, 'egress:' .. egress_name) > 0)
then return {now_ms, PAUSED_MS * 1000} end

local function next_due_us()
  local soonest
  for _, key in ipairs({schedule, bulk}) do
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if #first > 0 then soonest = math.min(soonest or math.huge, tonumber(first[2])) end
  end
  return soonest and math.max(0, math.floor(soonest * 1000 - now)) or -1
end

local function is_paused(lane)
  if not pauses then return false end
  local user, trader = string.match(lane, '^([^:]*):(.*)$')
  return user ~= nil and (redis.call('HEXISTS', paused, 'user:' .. user)
    + redis.call('HEXISTS', paused, 'trader:' .. trader)) > 0
end

local failing = tonumber(redis.call('HGET', troubles, 'n failing') or 0)
local marks = redis.call('TYPE', refused).ok == 'hash'

-- What its egress and its user went through of late.
local function standing(user)
  local mark = marks and redis.call('HGET', refused, user)
  if bucket.open then return 2, mark end
  if failing > 0 and failing > redis.call('HEXISTS', troubles, 'failing ' .. user) then return 1, mark end
  return 0, mark
end

-- Whether it is not yet time to probe with this user, who had the trouble already.
local function is_stale(user)
  return bucket.open and bucket.probe_at > bucket.horizon
    and redis.call('HEXISTS', troubles, bucket.why .. ' ' .. user) == 1
end

local claims = {}

local function drop(lane, what, still_scheduled)
  redis.call('HINCRBY', counts, 'unreadable', 1)
  claims[#claims + 1] = {lane, what, still_scheduled}
end

local function payload_of(job_id)
  local size = redis.pcall('STRLEN', job_prefix .. job_id)
  if type(size) ~= 'number' or size == 0 or size > largest then return false end
  return redis.call('GET', job_prefix .. job_id)
end

-- Those behind the head that asked to join, as far as nobody stands between.
local function joining(list, last)
  local found = {}
  for _, job_id in ipairs(redis.call('LRANGE', list, 1, most_joined)) do
    local payload = payload_of(job_id)
    if not payload or not string.find(payload, JOINS, 1, true) then break end
    found[#found + 1], found[#found + 2] = job_id, payload
    if job_id == last then break end
  end
  return found
end

-- A batch counts what is in flight: from the first claim of a head, through lapsed leases, to its settlement.
local function count_in_flight(job_id)
  local batch_id = string.match(job_id, '^([^/]+)//')
  if not batch_id or redis.pcall('HEXISTS', batch_prefix .. batch_id, 'created') ~= 1 then return end
  redis.call('HINCRBY', batch_prefix .. batch_id, 'in flight', 1)
  redis.call('HSETNX', batch_prefix .. batch_id, 'started', now_ms)
end

-- Returns whether the scan may go on: false once the egress has no slot within the look-ahead, "alone" where no other
-- claim may be made together with the next or with the last one.
local function claim(lane, promised, from)
  if not string.match(lane, NAME) then
    redis.call('ZREM', from, lane)
    drop(lane, 'no name of a lane: dropped from the schedule', 0)
    return true
  end
  local list = lane_prefix .. lane
  local job_id = redis.call('LINDEX', list, 0)
  if not job_id then
    redis.call('ZREM', from, lane)
    redis.call('ZREM', lanes, lane)
    return true
  end
  if #job_id > LONGEST_ID or not string.match(job_id, NAME) then
    redis.call('LPOP', list)
    drop(lane, 'its head was no job ID: dropped', 1)
    return true
  end
  if is_stale(string.match(lane, '^[^:]*')) then return true end
  if is_paused(lane) then
    redis.call('ZADD', from, now_ms + PAUSED_MS, lane)
    return true
  end
  local one = bucket.of(lane)
  if one.slot > bucket.horizon then
    redis.call('ZADD', from, bucket.put_off_until(one, promised), lane)
    return true
  end
  one.slot = math.max(one.slot, bucket.egress_slot())
  if one.slot > bucket.horizon then return false end
  local head = head_prefix .. lane
  local before = redis.call('HMGET', head, 'token', 'lapses', 'state', 'joins', 'solo')
  local lapses = tonumber(before[2] or 0) + (before[1] and 1 or 0)
  if lapses >= ALONE and #claims > 0 then return 'alone' end
  bucket.take(one)
  local lease_ends = math.ceil(one.slot / 1000) + lease_ms
  redis.call('ZADD', from, lease_ends, lane)

  if not before[1] then count_in_flight(job_id) end
  local joined = before[4] and not before[5] and joining(list, before[4]) or {}
  redis.call('HSET', head, 'token', token .. '.' .. (#claims + 1), 'lapses', lapses, 'held', 1 + #joined / 2,
    'lease', lease_ends)
  local trust, mark = standing(string.match(lane, '^[^:]*'))
  claims[#claims + 1] =
    {lane, job_id, one.slot - now, one.n, lapses, payload_of(job_id), before[3], joined, trust, mark}
  if bucket.open then
    redis.call('HSET', egress, 'probe', token .. '.' .. #claims, 'probe at', lease_ends * 1000,
      'fresh at', lease_ends * 1000)   -- if nobody settles it
  end
  return lapses < ALONE or 'alone'
end

local function due(key)   -- each lane is followed by its score
  return redis.call('ZRANGEBYSCORE', key, '-inf', now / 1000, 'WITHSCORES', 'LIMIT', 0, bucket.open and TO_PROBE or most + SPARE_LANES)
end

local first, second = due(schedule), due(bulk)
local i, j = 1, 1
wait = nil
while #claims < most and (i < #first or j < #second) do
  local bulk_waits = j < #second
  local from, lane, score = schedule, first[i], first[i + 1]
  if bulk_waits and (i > #first or bucket.since_bulk >= share - 1) then
    from, lane, score = bulk, second[j], second[j + 1]
    j = j + 2
  else
    i = i + 2
  end
  local claimed = #claims
  local readable, go_on = pcall(claim, lane, tonumber(score) % 1 == 0.5, from)
  if not readable then
    redis.call('ZADD', from, now_ms + PUT_OFF_MS, lane)
    claims[#claims + 1] = {lane, 'its keys are not of the type they must be: put off', 1}
  elseif not go_on then
    wait = math.max(0, bucket.egress_slot() - bucket.look_ahead - now)
    break
  elseif #claims > claimed then
    bucket.since_bulk = from == bulk and 0 or bulk_waits and bucket.since_bulk + 1 or bucket.since_bulk
    if bucket.open then
      wait = lease_ms * 1000
      break
    end
  end
  if go_on == 'alone' then
    wait = wait or 0
    break
  end
end

if #claims > 0 then bucket.keep_egress(KEYS[9], egress_name) end
if #claims == most and not bucket.open and (i < #first or j < #second) then wait = 0 end
if bucket.open and #claims == 0 and bucket.probe_at > bucket.horizon then
  wait = bucket.probe_at - bucket.look_ahead - now
end
wait = wait or next_due_us()
if wait == 0 and redis.call('LLEN', bell) == 0 then redis.call('LPUSH', bell, '1') end
return {now_ms, wait, unpack(claims)}
