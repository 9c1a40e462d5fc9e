--[[
demand: count what a shard has for an egress to send. Writes nothing.

Atomic so that what is counted is of one moment.

ARGV  1 the request, see DemandRequest in share_exchange.py
Reply the message DemandReply of share_exchange.py. A key of a wrong type counts as nothing.
]]
-- luacheck: read globals clock input pack_reply
local function due_users(key)
  local due = 0
  for _, name in ipairs({key, key .. ':' .. input.egress}) do
    local found = redis.pcall('ZCOUNT', name, '-inf', clock.now_ms)
    due = due + (tonumber(found) or 0)
  end
  return due
end

local taken = redis.pcall('HGET', KEY.egress .. input.egress, 'taken')
return pack_reply({interactive = due_users(KEY.schedule), bulk = due_users(KEY.bulk_schedule),
  taken = type(taken) == 'string' and tonumber(taken) or 0})
