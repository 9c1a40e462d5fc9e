--[[
demand: count the requests that a shard has for an egress to send within an epoch. Writes nothing.

Of more than SAMPLE due users, those that have been due for longest stand for all.
Atomic so that what is counted is of one moment.

ARGV  1 the request, see DemandRequest in share_exchange.py
Reply the message DemandReply of share_exchange.py. A key of a wrong type counts as nothing.
]]
-- luacheck: read globals clock input pack_reply SAMPLE
local function requests_of(user)
  local key = KEY.heads .. user
  local lanes, requests = redis.pcall('HLEN', key), 0
  if type(lanes) ~= 'number' then return 0 end
  if lanes >= input.user_requests then return input.user_requests end
  for _, head in ipairs(redis.call('HVALS', key)) do
    requests = requests + (tonumber(string.match(head, '^%d+')) or 1)   -- the lane's changes
  end
  return math.min(requests, input.user_requests)
end

local function due_requests(key)
  local requests = 0
  for _, name in ipairs({key, key .. ':' .. input.egress}) do
    local users = redis.pcall('ZRANGEBYSCORE', name, '-inf', clock.now_ms, 'LIMIT', 0, SAMPLE)
    if not users.err and #users > 0 then
      local counted = 0
      for _, user in ipairs(users) do counted = counted + requests_of(user) end
      requests = requests + counted * redis.call('ZCOUNT', name, '-inf', clock.now_ms) / #users
    end
  end
  return math.ceil(requests)
end

local taken = redis.pcall('HGET', KEY.egress .. input.egress, 'taken')
return pack_reply({interactive = due_requests(KEY.schedule), bulk = due_requests(KEY.bulk_schedule),
  taken = type(taken) == 'string' and tonumber(taken) or 0})
