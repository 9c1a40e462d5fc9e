--[[
clock: the time of Redis when the script began. A part of every script that needs it.

Atomic with the rest of its script so that all of it has one time.
]]
local clock = {}

local seconds, micros = unpack(redis.call('TIME'))

clock.now_us = seconds * 1000000 + micros
clock.now_ms = math.floor(clock.now_us / 1000)

return clock
