--[[
wake: make lanes due now, or when their back-off or lease ends, and release the times that their users reserved.

Atomic so that a lane that is claimed at the same time is not due before its lease ends.

KEYS  1 schedule   2 bulk schedule   3 wake-ups
ARGV  1 and on: the lanes
Reply the number of lanes that are now due earlier than before
]]
-- luacheck: read globals HEAD_PREFIX BUCKET_PREFIX BUCKET_SUFFIX
local schedules, wakeups, lanes = {KEYS[1], KEYS[2]}, KEYS[3], ARGV

local seconds, micros = unpack(redis.call('TIME'))
local now_ms = math.floor((seconds * 1000000 + micros) / 1000)
local woken = 0
for _, lane in ipairs(lanes) do
  local bucket = BUCKET_PREFIX .. string.match(lane, '^[^:]*') .. BUCKET_SUFFIX
  if redis.call('HEXISTS', bucket, 'turn') == 1 then redis.call('HSET', bucket, 'turn', 0) end
  local token, lease_ends, back_off_ends =
    unpack(redis.call('HMGET', HEAD_PREFIX .. lane, 'token', 'lease', 'earliest'))
  local earliest = math.max(now_ms, tonumber(token and lease_ends or back_off_ends or 0) or 0)
  for _, schedule in ipairs(schedules) do
    local due = redis.call('ZSCORE', schedule, lane)
    if due and tonumber(due) > earliest then
      redis.call('ZADD', schedule, earliest, lane)
      woken = woken + 1
    end
  end
end
if woken > 0 and redis.call('LLEN', wakeups) == 0 then redis.call('LPUSH', wakeups, '1') end
return woken
