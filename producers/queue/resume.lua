--[[
resume: make lanes ready that were parked while their traders were paused, a chunk at a time.

Atomic so that a parked lane is either parked or scheduled.

ARGV  1 the request, see ResumeRequest in pauses.py
Reply 1 if there are more, else 0
]]
-- luacheck: read globals bucket parking schedule input
local has_more = parking.resume_some(input.count)
schedule.save()
bucket.save()
schedule.wake_workers()
return has_more and 1 or 0
