--[[
renew: extend the leases of a worker's claims.

Atomic so that a lease is renewed only while its claim holds the lane, and is never shortened.

ARGV  1 lease (ms from now)   then for each claim: lane, token
Reply for each claim 1: renewed, or 0: it has lost its lane
]]
local lease_ms = tonumber(ARGV[1])

local time = redis.call('TIME')
local ends = math.floor((time[1] * 1000000 + time[2]) / 1000) + lease_ms
local renewed = {}
for i = 2, #ARGV, 2 do
  local lane, token = ARGV[i], ARGV[i + 1]
  local head = KEY.head .. lane
  local current_token, lease = unpack(redis.call('HMGET', head, 'token', 'lease'))
  local is_held = current_token == token
  if is_held and ends > tonumber(lease or 0) then
    redis.call('HSET', head, 'lease', ends)
    for _, schedule in ipairs({KEY.schedule, KEY.bulk_schedule}) do redis.call('ZADD', schedule, 'XX', ends, lane) end
  end
  renewed[#renewed + 1] = is_held and 1 or 0
end
return renewed
