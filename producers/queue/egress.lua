--[[
egress: take a slot of the egress's bucket for a request that sends no change, such as one for the exchange's time.

Atomic so that no slot is given twice. The arithmetic is that of bucket.lua.

ARGV  1 name of the egress   2 egress pace (us per request)   3 egress burst (us)
Reply us until the slot; -1 if the breaker is open: no slot is taken, and only probes may be sent
]]
-- luacheck: read globals BUCKET_TTL_MS
local egress = KEY.egress .. ARGV[1]
local pace, burst = tonumber(ARGV[2]), tonumber(ARGV[3])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local tat, openings = unpack(redis.call('HMGET', egress, 'tat', 'open'))
if tonumber(openings or 0) > 0 then return -1 end
tat = tonumber(tat or 0)
local slot = math.max(now, tat - burst)
tat = math.max(tat, slot) + pace
redis.call('HSET', egress, 'tat', tat)
local keep_ms = math.ceil((tat - now) / 1000) + BUCKET_TTL_MS
if redis.call('PTTL', egress) < keep_ms then redis.call('PEXPIRE', egress, keep_ms) end
return slot - now
