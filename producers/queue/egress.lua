--[[
egress: take a slot of the egress's bucket for a request that is no change.

Atomic so that a slot is given once; the same arithmetic as in claim.lua.

KEYS  1 egress
ARGV  1 egress pace (us a request)   2 egress burst (us)
Reply wait until the slot (us), -1 if the breaker is open: nothing but its probes may be sent
]]
local pace, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local KEEP_MS = 60000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local state = redis.call('HMGET', KEYS[1], 'tat', 'hold', 'open')
if tonumber(state[3] or 0) > 0 then return -1 end
local tat = tonumber(state[1] or 0)
local slot = math.max(now, tonumber(state[2] or 0), tat - burst)
tat = math.max(tat, slot) + pace
redis.call('HSET', KEYS[1], 'tat', tat)
local keep_ms = math.ceil((tat - now) / 1000) + KEEP_MS
if redis.call('PTTL', KEYS[1]) < keep_ms then redis.call('PEXPIRE', KEYS[1], keep_ms) end
return slot - now
