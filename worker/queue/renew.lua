--[[
renew: the heartbeat of a worker: leases of claims that it still has in hand begin anew.

Atomic so that a lease is renewed only while its claim holds the lane, and never shortened.

KEYS  1 schedule   2 bulk schedule
ARGV  1 head prefix   2 lease (ms from now)   then for each claim: lane, token
Reply for each claim 1: renewed, or 0: the lane is not its any more
]]
local head_prefix, lease_ms = ARGV[1], tonumber(ARGV[2])

local time = redis.call('TIME')
local ends = math.floor((time[1] * 1000000 + time[2]) / 1000) + lease_ms
local renewed = {}
for i = 3, #ARGV, 2 do
  local lane, head = ARGV[i], head_prefix .. ARGV[i]
  local held = redis.call('HMGET', head, 'token', 'lease')
  local mine = held[1] == ARGV[i + 1]
  if mine and ends > tonumber(held[2] or 0) then
    redis.call('HSET', head, 'lease', ends)
    for _, schedule in ipairs({KEYS[1], KEYS[2]}) do redis.call('ZADD', schedule, 'XX', ends, lane) end
  end
  renewed[#renewed + 1] = mine and 1 or 0
end
return renewed
