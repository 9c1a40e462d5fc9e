--[[
parking: the lanes of paused traders. A part of the scripts that resume them, a chunk at a time.

A lane of a paused trader that comes due is parked (see the claim script). Resuming the trader only notes it in
`resuming`; callers and workers then move its lanes in chunks, so that it does not matter who dies meanwhile.
Atomic with the rest of its script so that a parked lane stays in `parked:<trader>`, or is scheduled.
]]
-- luacheck: read globals clock lane schedule
local parking = {}

-- Make up to `count` parked lanes of resumed traders ready. Return whether there are more.
function parking.resume_some(count)
  local trader = redis.call('SRANDMEMBER', KEY.resuming)
  if not trader then return false end
  local users = redis.call('SPOP', KEY.parked .. trader, count)
  for _, user in ipairs(users) do
    local head = lane.read(user, trader)
    if head and lane.score(head) == lane.PARKED then
      lane.set_score(head, clock.now_ms)
      schedule.update(user, head.interactive == 0)
    end
  end
  if #users < count then redis.call('SREM', KEY.resuming, trader) end
  return redis.call('EXISTS', KEY.resuming) == 1
end

return parking
