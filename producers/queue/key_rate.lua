--[[
key_rate: count a call of an access key of the gateway against the key's own rate (GCRA).

Atomic so that all gateway processes together keep to the rate.

ARGV  1 the request, see KeyRateRequest in access_keys.py
Reply us until the key may make a call; 0 if this one is permitted, and only then counted
]]
-- luacheck: read globals clock input
local key = KEY.gateway_rate .. input.key_id
local tat = math.max(tonumber(redis.call('GET', key) or 0) or 0, clock.now_us)
local wait = tat - input.burst - clock.now_us
if wait > 0 then return wait end
local ahead_ms = math.ceil((tat + input.pace - clock.now_us) / 1000)
redis.call('SET', key, string.format('%d', tat + input.pace), 'PX', math.max(1, ahead_ms))
return 0
