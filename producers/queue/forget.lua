--[[
forget: delete a user's own settings: rate, pause, pin to an egress, mark of rejected API keys, sealed API keys.

A user with a change keeps all of them, since they say when, and from where, that change may be sent.
Atomic so that a change that is submitted meanwhile finds either all of them or none.

ARGV  1 the request, see ForgetRequest in forget.py
Reply {1 if the user has no change, else 0; then a number for each of the settings: 1 if it was there and is deleted}
]]
-- luacheck: read globals input
if redis.call('EXISTS', KEY.heads .. input.user) == 1 then return {0} end
local egress_name = redis.call('HGET', KEY.pins, input.user)
if egress_name and redis.call('HINCRBY', KEY.pinned, egress_name, -1) <= 0 then
  redis.call('HDEL', KEY.pinned, egress_name)
end
return {
  1,
  redis.call('HDEL', KEY.rates, input.user),
  redis.call('HDEL', KEY.paused, 'user:' .. input.user),
  redis.call('HDEL', KEY.pins, input.user),
  redis.call('HDEL', KEY.rejected_keys, input.user),
  redis.call('HDEL', KEY.credentials, input.user_id),
}
