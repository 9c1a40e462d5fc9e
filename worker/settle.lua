--[[
settle: the end of an attempt.

Either the head's outcome is written (result, counters, announcement) and the lane goes on with its next change, or
the head stays the head and the lane is put back with a later score. Atomic so that a change has one outcome, a lane
that is not empty is on the schedule, and a settle whose token is no longer the lane's changes nothing (fenced).

KEYS  1 schedule   2 lane   3 head   4 bucket   5 job   6 result   7 counts   8 egress   9 throttled
ARGV  1 lane   2 job ID   3 token   4 slot number   5 requests a window
      6 window (us)   7 time since the reply or failure of the request (us), -1 if nothing was sent
      8 the request's round trip (us), -1 if there was no reply
      9 user hold (ms from now, 0 none)   10 user of the lane
      11 how many users throttled in a row, though alone in their window, mean the egress   12 egress hold then (ms)
      13 egress pace (us a request)   14 verb: "done" or "back"
      done: 15 outcome   16 result   17 its TTL (ms)   18 channel
      back: 15 delay (ms)   16 state
Reply {1, us until the lane is due again, -1 if it is empty} or {0, -1}: fenced
]]
local schedule, list, head, bucket, egress, throttled = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[8], KEYS[9]
local lane, job_id, token = ARGV[1], ARGV[2], ARGV[3]
local slot_number, per_window, window = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local reply_age, round_trip = tonumber(ARGV[7]), tonumber(ARGV[8])
local hold_ms, verb = tonumber(ARGV[9]), ARGV[14]

local KEEP_MS = 60000
local PROMISED = 0.5           -- see claim.lua
local RELEASED = 0             -- an entry of the bucket's ring that holds back nobody
local FLOOR_WINDOW = 60000000  -- us; a changed network path is forgotten after one to two of these
local FLOOR_SAMPLES = 10       -- fewer round trips give no credit
local FLOOR_MARGIN = 1000      -- us; clocks and timers tick in milliseconds
local FLOOR_KEEP_MS = 600000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- The shortest round trip of this egress over the current window and the one before it; 0 until enough were seen.
local function floor()
  local seen = redis.call('HMGET', egress, 'floor', 'samples', 'since', 'floor before', 'samples before')
  local shortest, samples, since = tonumber(seen[1] or round_trip), tonumber(seen[2] or 0), tonumber(seen[3] or now)
  local before, samples_before = tonumber(seen[4] or round_trip), tonumber(seen[5] or 0)
  if now - since >= FLOOR_WINDOW then
    if now - since < 2 * FLOOR_WINDOW then
      before, samples_before = shortest, samples
    else
      before, samples_before = round_trip, 0
    end
    shortest, samples, since = round_trip, 0, now
  end
  shortest, samples = math.min(shortest, round_trip), samples + 1
  redis.call('HSET', egress, 'floor', shortest, 'samples', samples, 'since', since, 'floor before', before,
    'samples before', samples_before)
  if redis.call('PTTL', egress) < FLOOR_KEEP_MS then redis.call('PEXPIRE', egress, FLOOR_KEEP_MS + KEEP_MS) end
  if samples + samples_before < FLOOR_SAMPLES then return 0 end
  return math.max(0, math.min(shortest, before) - FLOOR_MARGIN)
end

-- When the window that the request opened has surely ended: no earlier than it arrived, plus the window.
local function window_end()
  if reply_age < 0 then return RELEASED end
  if round_trip < 0 then return now - reply_age + window end
  return now - reply_age - floor() + window
end

-- The bucket is told what became of its slot even when the lane is lost: the exchange saw the request all the same.
local entry = tostring(slot_number % per_window)
local state = redis.call('HMGET', bucket, 'n', 'turn', 'pace', 'hold', entry)
local n, turn, pace = tonumber(state[1] or 0), tonumber(state[2] or 0), tonumber(state[3] or 0)
local hold = tonumber(state[4] or 0)
local still_in_ring = n > slot_number and n - slot_number <= per_window
local slot = -tonumber(state[5] or 0)
if still_in_ring and slot > 0 then
  redis.call('HSET', bucket, entry, window_end())
  if reply_age < 0 then
    -- Nothing was sent: the slot is given back, the user's if no later one was taken.
    if n == slot_number + 1 then
      turn = math.min(turn, slot)
      redis.call('HSET', bucket, 'tat', slot, 'turn', turn)
    end
    redis.call('HINCRBY', egress, 'tat', -tonumber(ARGV[13]))
  end
end

-- Whether the request before this one was a window ago: then no limit of the user can have refused it.
local function alone()
  if slot_number == 0 then return true end
  local before = tonumber(redis.call('HGET', bucket, tostring((slot_number - 1) % per_window)) or 0)
  return before >= 0 and before <= now - reply_age - round_trip
end

if hold_ms > 0 then
  hold = math.max(hold, now + hold_ms * 1000)
  redis.call('HSET', bucket, 'hold', hold)
  if alone() then redis.call('SADD', throttled, ARGV[10]) end
  redis.call('PEXPIRE', throttled, KEEP_MS)
  if redis.call('SCARD', throttled) >= tonumber(ARGV[11]) then
    local egress_hold_ms = tonumber(ARGV[12])
    redis.call('DEL', throttled)
    redis.call('HSET', egress, 'hold', now + egress_hold_ms * 1000)
    redis.call('PEXPIRE', egress, egress_hold_ms + FLOOR_KEEP_MS)
  end
elseif round_trip >= 0 then
  redis.call('DEL', throttled)
end

local function schedule_lane(earliest)
  local due = math.max(earliest, turn, hold)
  local promised = due == turn
  if promised then turn = turn + pace end
  if turn > 0 then redis.call('HSET', bucket, 'turn', turn) end
  local keep_ms = math.ceil((math.max(turn, hold, now) - now) / 1000) + KEEP_MS
  if redis.call('PTTL', bucket) < keep_ms then redis.call('PEXPIRE', bucket, keep_ms) end
  redis.call('ZADD', schedule, math.floor(due / 1000) + (promised and PROMISED or 0), lane)
  return due - now
end

if redis.call('HGET', head, 'token') ~= token or redis.call('LINDEX', list, 0) ~= job_id then return {0, -1} end

if verb == 'back' then
  redis.call('HDEL', head, 'token')
  redis.call('HSET', head, 'state', ARGV[16], 'lapses', 0)
  return {1, schedule_lane(now + tonumber(ARGV[15]) * 1000)}
end

redis.call('SET', KEYS[6], ARGV[16], 'PX', ARGV[17])   -- first: what may be refused must not follow what destroys
redis.call('HINCRBY', KEYS[7], ARGV[15], 1)
redis.call('LPOP', list)
redis.call('DEL', head, KEYS[5])
redis.call('PUBLISH', ARGV[18], job_id)
if redis.call('EXISTS', list) == 0 then
  redis.call('ZREM', schedule, lane)
  return {1, -1}
end
return {1, schedule_lane(now)}
