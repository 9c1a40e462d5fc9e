--[[
claim: take the due heads.

Goes through due lanes by due time. A lane whose user has a slot within the look-ahead is claimed: the slot is taken
from the user's bucket and from the egress's, and the lane's score becomes the end of its lease. A lane whose slot is
further away is put off. Atomic so that a slot is given once and a lane is never held by two.

Lanes of one user take turns, so that a thousand of them do not all come due for one slot. A score that ends in .5
says that the lane was promised its time: put off for less than a pace it keeps its place, else it takes the next turn
that nobody was promised.

A slot of a user is the latest of: now; the slot before it plus the pace (slots follow from slot to slot, so that a
late claim does not slow the pace; at most `catch up` is made good); the end of the window that the tenth request
before it opened; a hold.

KEYS  1 schedule   2 bell   3 egress   4 counts
ARGV  1 lane prefix   2 head prefix   3 bucket prefix   4 bucket suffix   5 job prefix
      6 how many lanes at the most   7 token (each claim gets <token>.<n>)
      8 look-ahead (us)   9 lease, counted from the slot (ms)   10 largest payload (bytes)
      11 user pace (us a request)   12 requests a window   13 window (us)   14 catch up (us)
      15 how long a request may be under way (us)   16 egress pace (us a request)   17 egress burst (us)
Reply {now (ms), us until the next lane is due (-1: none is scheduled), one array for each claim:
       {lane, job ID, wait until the slot (us), slot number, lapsed leases of this head, payload or false, state or
       false}}; a payload that is absent or too large is false. Where something cannot be read the array is
       {lane, what was done about it, whether the lane is still scheduled (1 or 0)}: what has no readable name is
       dropped and counted as "unreadable", a lane whose keys are of a wrong type is put off for a minute.
]]
local schedule, bell, egress, counts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lane_prefix, head_prefix, bucket_prefix, bucket_suffix, job_prefix =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local most, token = tonumber(ARGV[6]), ARGV[7]
local look_ahead, lease_ms, largest = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local pace, per_window, window = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local catch_up, under_way = tonumber(ARGV[14]), tonumber(ARGV[15])
local egress_pace, egress_burst = tonumber(ARGV[16]), tonumber(ARGV[17])

local LOOK_AGAIN = 20000   -- us; a slot that hangs on a request still under way is asked for again this soon
local KEEP_MS = 60000
local PUT_OFF_MS = 60000
local SPARE_LANES = 32     -- lanes read beyond `most`, since some are only put off
local PROMISED = 0.5
local NAME = '^[!-~]+$'    -- names are printable ASCII without spaces
local LONGEST_ID = 128

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local now_ms = math.floor(now / 1000)
local horizon = now + look_ahead

local function next_due_us()
  local first = redis.call('ZRANGE', schedule, 0, 0, 'WITHSCORES')
  if #first == 0 then return -1 end
  return math.max(0, tonumber(first[2]) * 1000 - now)
end

local exit = redis.call('HMGET', egress, 'tat', 'hold')
local egress_tat, egress_hold = tonumber(exit[1] or 0), tonumber(exit[2] or 0)
local function egress_slot() return math.max(now, egress_hold, egress_tat - egress_burst) end
if egress_slot() > horizon then return {now_ms, egress_slot() - look_ahead - now} end

-- Returns the slot, its number, and the bucket's earliest unpromised claim.
local function user_slot(bucket)
  local state = redis.call('HMGET', bucket, 'n', 'tat', 'turn', 'hold')
  local n = tonumber(state[1] or 0)
  local tat, turn, hold = tonumber(state[2] or 0), tonumber(state[3] or 0), tonumber(state[4] or 0)
  local window_end = tonumber(redis.call('HGET', bucket, tostring(n % per_window)) or 0)
  if window_end < 0 then
    local latest = -window_end + window + under_way
    window_end = math.min(latest, horizon + LOOK_AGAIN)
  end
  return math.max(now, tat, window_end, hold), n, tat, turn, hold
end

local function keep(bucket, turn, hold)
  redis.call('PEXPIRE', bucket, math.ceil((math.max(turn, hold, now) - now + window + under_way) / 1000) + KEEP_MS)
end

local function put_off(lane, promised, bucket, slot, turn, hold)
  local due = slot - look_ahead
  if not promised or slot - horizon >= pace then
    due = math.max(due, turn)
    redis.call('HSET', bucket, 'turn', due + pace, 'pace', pace)
    keep(bucket, due + pace, hold)
  end
  redis.call('ZADD', schedule, math.floor(due / 1000) + PROMISED, lane)
end

local function take(bucket, slot, n, tat, turn, hold)
  local next_tat = math.max(tat, slot - catch_up) + pace
  local next_turn = math.max(turn, next_tat - look_ahead)
  redis.call('HSET', bucket, 'n', n + 1, 'tat', next_tat, 'turn', next_turn, 'pace', pace,
    tostring(n % per_window), -slot)
  keep(bucket, next_turn, hold)
  egress_tat = math.max(egress_tat, slot) + egress_pace
end

local claims = {}

local function drop(lane, what, still_scheduled)
  redis.call('HINCRBY', counts, 'unreadable', 1)
  claims[#claims + 1] = {lane, what, still_scheduled}
end

-- Returns whether the scan may go on: false once the egress has no slot within the look-ahead.
local function claim(lane, promised)
  if not string.match(lane, NAME) then
    redis.call('ZREM', schedule, lane)
    drop(lane, 'no name of a lane: dropped from the schedule', 0)
    return true
  end
  local job_id = redis.call('LINDEX', lane_prefix .. lane, 0)
  if not job_id then
    redis.call('ZREM', schedule, lane)
    return true
  end
  if #job_id > LONGEST_ID or not string.match(job_id, NAME) then
    redis.call('LPOP', lane_prefix .. lane)
    drop(lane, 'its head was no job ID: dropped', 1)
    return true
  end
  local bucket = bucket_prefix .. string.match(lane, '^[^:]*') .. bucket_suffix
  local slot, n, tat, turn, hold = user_slot(bucket)
  if slot > horizon then
    put_off(lane, promised, bucket, slot, turn, hold)
    return true
  end
  slot = math.max(slot, egress_slot())
  if slot > horizon then return false end
  take(bucket, slot, n, tat, turn, hold)
  redis.call('ZADD', schedule, math.ceil(slot / 1000) + lease_ms, lane)

  local head = head_prefix .. lane
  local before = redis.call('HMGET', head, 'token', 'lapses', 'state')
  local lapses = tonumber(before[2] or 0)
  if before[1] then lapses = lapses + 1 end
  redis.call('HSET', head, 'token', token .. '.' .. (#claims + 1), 'lapses', lapses)

  local payload = redis.pcall('STRLEN', job_prefix .. job_id)
  if type(payload) == 'number' and payload > 0 and payload <= largest then
    payload = redis.call('GET', job_prefix .. job_id)
  else
    payload = false
  end
  claims[#claims + 1] = {lane, job_id, slot - now, n, lapses, payload, before[3]}
  return true
end

-- Each is followed by its score.
local due = redis.call('ZRANGEBYSCORE', schedule, '-inf', now / 1000, 'WITHSCORES', 'LIMIT', 0, most + SPARE_LANES)
local wait
for i = 1, #due, 2 do
  if #claims == most then wait = 0 break end
  local lane = due[i]
  local readable, go_on = pcall(claim, lane, tonumber(due[i + 1]) % 1 == PROMISED)
  if not readable then
    redis.call('ZADD', schedule, now_ms + PUT_OFF_MS, lane)
    claims[#claims + 1] = {lane, 'its keys are not of the type they must be: put off', 1}
  elseif not go_on then
    wait = math.max(0, egress_slot() - look_ahead - now)
    break
  end
end

if #claims > 0 then
  redis.call('HSET', egress, 'tat', egress_tat)
  local keep_ms = math.ceil((math.max(egress_tat, egress_hold, now) - now) / 1000) + KEEP_MS
  if redis.call('PTTL', egress) < keep_ms then redis.call('PEXPIRE', egress, keep_ms) end
end
wait = wait or next_due_us()
if wait == 0 and redis.call('LLEN', bell) == 0 then redis.call('LPUSH', bell, '1') end
return {now_ms, wait, unpack(claims)}
