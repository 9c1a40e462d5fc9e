--[[
wake: make lanes due now, or when their back-off or lease ends, and release the times that their users reserved.

Atomic so that a lane that is claimed at the same time is not due before its lease ends.

ARGV  1 and on: the lanes
Reply the number of lanes that are now due earlier than before
]]
-- luacheck: read globals BUCKET_SUFFIX
local lanes = ARGV

local seconds, micros = unpack(redis.call('TIME'))
local now_ms = math.floor((seconds * 1000000 + micros) / 1000)
local woken = 0
for _, lane in ipairs(lanes) do
  local bucket = KEY.bucket .. string.match(lane, '^[^:]*') .. BUCKET_SUFFIX
  if redis.call('HEXISTS', bucket, 'turn') == 1 then redis.call('HSET', bucket, 'turn', 0) end
  local token, lease_ends, back_off_ends =
    unpack(redis.call('HMGET', KEY.head .. lane, 'token', 'lease', 'earliest'))
  local earliest = math.max(now_ms, tonumber(token and lease_ends or back_off_ends or 0) or 0)
  for _, schedule in ipairs({KEY.schedule, KEY.bulk_schedule}) do
    local due = redis.call('ZSCORE', schedule, lane)
    if due and tonumber(due) > earliest then
      redis.call('ZADD', schedule, earliest, lane)
      woken = woken + 1
    end
  end
end
if woken > 0 and redis.call('LLEN', KEY.wakeups) == 0 then redis.call('LPUSH', KEY.wakeups, '1') end
return woken
