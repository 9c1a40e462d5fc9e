--[[
egress_slot: take a slot of an egress for a request that sends no change, such as one for the exchange's time.

No slot is taken while the breaker is open, since only probes may be sent then, or if the next one is further ahead than
the request allows.
Atomic so that no slot is given twice.

ARGV  1 the request, see EgressSlotRequest in egress_slot.py
Reply the message EgressSlotReply of egress_slot.py
]]
-- luacheck: read globals clock egress input pack_reply SLOT_STATE
if tonumber(redis.call('HGET', KEY.egress .. input.egress, 'openings') or 0) > 0 then
  return pack_reply({state = SLOT_STATE.BLOCKED, wait_us = 0})
end
egress.begin(input.egress, {egress_pace = input.egress_pace, egress_burst = input.egress_burst, user_pace = 0})
local slot = egress.next_slot()
local wait_us = slot - clock.now_us
if wait_us > input.ahead then return pack_reply({state = SLOT_STATE.LATER, wait_us = wait_us}) end
egress.take(slot)
egress.save()
egress.save_pace()
return pack_reply({state = SLOT_STATE.TAKEN, wait_us = wait_us})
