--[[
settle: the end of an attempt.

Either the head's outcome is written (result, counters, announcement) and the lane goes on with its next change, or
the head stays the head and the lane is put back with a later score. Atomic so that a change has one outcome, a lane
that is not empty is on the schedule, and a settle whose token is no longer the lane's changes nothing (fenced).

KEYS  1 schedule   2 lane   3 head   4 bucket   5 job   6 result   7 counts   8 egress   9 throttled
ARGV  1 lane   2 job ID   3 token   4 slot number   5 requests a window
      6 what was sent: -1 nothing; else us to subtract from now + window to get the end of the window that this
        request opened (time since its reply, plus the shortest round trip known)
      7 window (us)   8 user hold (ms from now, 0 none)   9 user of the lane
      10 how many users throttled at once mean the egress   11 within (ms)   12 egress hold then (ms)
      13 verb: "done" or "back"
      done: 14 outcome   15 result   16 its TTL (ms)   17 channel
      back: 14 delay (ms)   15 state
Reply {1, us until the lane is due again, -1 if it is empty} or {0, -1}: fenced
]]
local schedule, list, head, bucket = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lane, job_id, token = ARGV[1], ARGV[2], ARGV[3]
local slot_number, per_window, credit = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local window, hold_ms, verb = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[13]
local KEEP_MS = 60000
local RELEASED = 0   -- an entry of the bucket's ring that holds back nobody

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- The bucket is told what became of its slot even when the lane is lost: the exchange saw the request all the same.
local entry = tostring(slot_number % per_window)
local state = redis.call('HMGET', bucket, 'n', 'turn', 'pace', 'hold', entry)
local n, turn, pace = tonumber(state[1] or 0), tonumber(state[2] or 0), tonumber(state[3] or 0)
local hold = tonumber(state[4] or 0)
local still_in_ring = n > slot_number and n - slot_number <= per_window
if still_in_ring and tonumber(state[5] or 0) < 0 then
  redis.call('HSET', bucket, entry, credit < 0 and RELEASED or now + window - credit)
end
if hold_ms > 0 then
  hold = math.max(hold, now + hold_ms * 1000)
  redis.call('HSET', bucket, 'hold', hold)
  local recent, within = KEYS[9], tonumber(ARGV[11])
  redis.call('ZADD', recent, math.floor(now / 1000), ARGV[9])
  redis.call('ZREMRANGEBYSCORE', recent, '-inf', math.floor(now / 1000) - within)
  redis.call('PEXPIRE', recent, KEEP_MS)
  if redis.call('ZCARD', recent) >= tonumber(ARGV[10]) then
    local egress_hold_ms = tonumber(ARGV[12])
    redis.call('HSET', KEYS[8], 'hold', now + egress_hold_ms * 1000)
    redis.call('PEXPIRE', KEYS[8], egress_hold_ms + KEEP_MS)
  end
end

local function schedule_lane(earliest)
  local due = math.max(earliest, turn, hold)
  if due == turn then turn = turn + pace end
  if turn > 0 then redis.call('HSET', bucket, 'turn', turn) end
  local keep_ms = math.ceil((math.max(turn, hold, now) - now) / 1000) + KEEP_MS
  if redis.call('PTTL', bucket) < keep_ms then redis.call('PEXPIRE', bucket, keep_ms) end
  redis.call('ZADD', schedule, math.floor(due / 1000), lane)
  return due - now
end

if redis.call('HGET', head, 'token') ~= token or redis.call('LINDEX', list, 0) ~= job_id then return {0, -1} end

if verb == 'back' then
  redis.call('HDEL', head, 'token')
  redis.call('HSET', head, 'state', ARGV[15], 'lapses', 0)
  return {1, schedule_lane(now + tonumber(ARGV[14]) * 1000)}
end

redis.call('LPOP', list)
redis.call('DEL', head, KEYS[5])
redis.call('SET', KEYS[6], ARGV[15], 'PX', ARGV[16])
redis.call('HINCRBY', KEYS[7], ARGV[14], 1)
redis.call('PUBLISH', ARGV[17], job_id)
if redis.call('EXISTS', list) == 0 then
  redis.call('ZREM', schedule, lane)
  return {1, -1}
end
return {1, schedule_lane(now)}
