--[[
pin: pin users to egresses, or unpin them.

A user's place in the schedules moves with it, at the same times. What it has in flight, parked or paused follows when
it is next scheduled, since every script looks the pin up then. The workers of the new egress are woken.
Atomic so that a user that is scheduled is in the schedule that its workers read (no wake-up can be lost).

ARGV  1 the request, see PinRequest in pins.py
Reply the number of users whose pin has changed
]]
-- luacheck: read globals schedule input
local changed, scores = 0, {}   -- user -> {score if interactive, score if bulk}, taken out of the former schedules

local function count(egress_name, number)
  if redis.call('HINCRBY', KEY.pinned, egress_name, number) <= 0 then redis.call('HDEL', KEY.pinned, egress_name) end
end

local function take_out(user, is_bulk, egress_name)
  local key = schedule.key(is_bulk, egress_name)
  local score = redis.call('ZSCORE', key, user)
  if score then redis.call('ZREM', key, user) end
  return score and tonumber(score)
end

local function pin(user, egress_name)
  local before = redis.call('HGET', KEY.pins, user) or nil
  if (before or '') == egress_name then return end
  changed = changed + 1
  scores[user] = {interactive = take_out(user, false, before), bulk = take_out(user, true, before)}
  if before then count(before, -1) end
  if egress_name == '' then return redis.call('HDEL', KEY.pins, user) end
  redis.call('HSET', KEY.pins, user, egress_name)
  count(egress_name, 1)
end

for _, row in ipairs(input.rows) do pin(row.user, row.egress) end
for user, score in pairs(scores) do   -- only now, since the pins of all of them are looked up
  if score.interactive then schedule.set(user, false, score.interactive) end
  if score.bulk then schedule.set(user, true, score.bulk) end
end
schedule.save()
schedule.wake_workers()
return changed
