--[[
wake: lanes that were put off come due now, or when their back-off or lease ends; the turns promised to them are void.

Atomic so that a claim made meanwhile keeps its lease.

KEYS  1 schedule   2 bulk schedule   3 bell
ARGV  1 head prefix   2 bucket prefix   3 bucket suffix   then the lanes
Reply how many were woken
]]
local schedules, bell = {KEYS[1], KEYS[2]}, KEYS[3]
local head_prefix, bucket_prefix, bucket_suffix = ARGV[1], ARGV[2], ARGV[3]

local time = redis.call('TIME')
local now_ms = math.floor((time[1] * 1000000 + time[2]) / 1000)
local woken = 0
for i = 4, #ARGV do
  local lane = ARGV[i]
  local bucket = bucket_prefix .. string.match(lane, '^[^:]*') .. bucket_suffix
  if redis.call('HEXISTS', bucket, 'turn') == 1 then redis.call('HSET', bucket, 'turn', 0) end
  local head = redis.call('HMGET', head_prefix .. lane, 'token', 'lease', 'earliest')
  local earliest = math.max(now_ms, tonumber(head[1] and head[2] or head[3] or 0))
  for _, schedule in ipairs(schedules) do
    local due = redis.call('ZSCORE', schedule, lane)
    if due and tonumber(due) > earliest then
      redis.call('ZADD', schedule, earliest, lane)
      woken = woken + 1
    end
  end
end
if woken > 0 and redis.call('LLEN', bell) == 0 then redis.call('LPUSH', bell, '1') end
return woken
