--[[
wake: schedule users again, after their rate has changed, or to end their pauses.

A user with a lane that waits is due when that lane is, whatever its bucket says: the claim knows the rate of now.
Atomic so that a user whose pause has ended is scheduled, whoever asked for it dies; and so that a user whose next slot
depends on a request in flight is scheduled by that request's settlement too.

ARGV  1 the request, see WakeRequest in pauses.py
Reply the number of pauses that were ended
]]
-- luacheck: read globals lane schedule input
local ended = 0
for _, user in ipairs(input.users) do
  if input.resumes == 1 then ended = ended + redis.call('HDEL', KEY.paused, 'user:' .. user) end
  for _, is_bulk in ipairs({false, true}) do
    local earliest = schedule.earliest(user, is_bulk)
    if earliest and lane.is_waiting(earliest) then
      schedule.set(user, is_bulk, math.max(earliest, 1))
    end
  end
end
schedule.save()
schedule.wake_workers()
return ended
