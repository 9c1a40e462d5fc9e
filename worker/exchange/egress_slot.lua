--[[
egress_slot: take a slot of an egress for a request that sends no change, such as one for the exchange's time.

Atomic so that no slot is given twice.

ARGV  1 the request, see EgressSlotRequest in time_sync.py
Reply us until the slot; -1 if the breaker is open: no slot is taken, and only probes may be sent
]]
-- luacheck: read globals clock egress input
if tonumber(redis.call('HGET', KEY.egress .. input.egress, 'openings') or 0) > 0 then return -1 end
egress.begin(input.egress, {egress_pace = input.egress_pace, egress_burst = input.egress_burst, user_pace = 0})
local slot = egress.next_slot()
egress.take(slot)
egress.save()
return slot - clock.now_us
