--[[
schedule: when users come due. A part of every script that changes what a user waits for.

A user is in the schedule of a priority at the later of two times: its next slot, less the look-ahead, and its earliest
lane of that priority. It is in none if it has no lane that waits, or while its next slot depends on a request in flight
(the bucket notes that it waits; the settlement schedules it again). A score that is too early costs a look, and no
more: the claim corrects it.
Users that are pinned to an egress are in schedules of their own, which only that egress's workers read.
Atomic with the rest of its script so that a user with a lane that waits is always scheduled (no wake-up can be lost).
]]
-- luacheck: read globals EGRESS_WAKEUP_TTL_MS bucket lane LOOK_AHEAD
local schedule = {}

local has_pins                               -- nil until it is looked up
local pinned_to = {}                         -- egress -> whether users are pinned to it
local wakes_any, wakes_egress = false, {}    -- who reads the schedules on which users were put; egress -> true
local scores, removed, offers = {}, {}, {}   -- schedule -> {user -> score}; {user -> true}; {user -> score}
local earliest_change = math.huge -- of the scores that were put (ms)

-- Return the key of the schedule of a priority: for users pinned to an egress, or for all others.
function schedule.key(is_bulk, egress_name)
  local name = is_bulk and KEY.bulk_schedule or KEY.schedule
  return egress_name and name .. ':' .. egress_name or name
end

local function any_pins()
  if has_pins == nil then has_pins = redis.call('EXISTS', KEY.pins) == 1 end
  return has_pins
end

-- Return whether users are pinned to an egress.
function schedule.has_pinned(egress_name)
  if pinned_to[egress_name] == nil then
    pinned_to[egress_name] = any_pins() and redis.call('HEXISTS', KEY.pinned, egress_name) == 1
  end
  return pinned_to[egress_name]
end

-- Return the keys of the schedules of a priority that the workers of an egress read.
function schedule.keys_of(is_bulk, egress_name)
  local pinned = schedule.has_pinned(egress_name) and schedule.key(is_bulk, egress_name) or nil
  return {schedule.key(is_bulk), pinned}
end

local function egress_of(user) return any_pins() and redis.call('HGET', KEY.pins, user) or nil end

-- Return the key of a user's schedule; note whom to wake if it is put there.
local function key_for(user, is_bulk, is_put)
  local egress_name = egress_of(user)
  if is_put and egress_name then wakes_egress[egress_name] = true end
  if is_put and not egress_name then wakes_any = true end
  return schedule.key(is_bulk, egress_name)
end

-- Put a user on a schedule at a time (ms), or take it off (nil).
function schedule.set(user, is_bulk, score)
  local key = key_for(user, is_bulk, score)
  scores[key], removed[key] = scores[key] or {}, removed[key] or {}
  scores[key][user], removed[key][user] = score, not score or nil
  if score then earliest_change = math.min(earliest_change, score) end
end

-- Return the time at which a user's next slot can be claimed (ms); nil, noted in the bucket, if that is not known.
local function claimable_at(user)
  local found = bucket.of(user)
  local slot = bucket.next_slot(found)
  if not slot then bucket.set_waits(found, 1) end
  return slot and math.ceil((slot - LOOK_AHEAD) / 1000)
end

-- Schedule a user whose earliest waiting lane has a score; nil for none.
function schedule.put(user, is_bulk, earliest)
  local at = earliest and lane.is_waiting(earliest) and claimable_at(user)
  schedule.set(user, is_bulk, at and math.max(at, earliest, 1) or nil)
end

-- Schedule a user that has one more lane, ready at a time (ms), unless it is scheduled for an earlier one.
function schedule.offer(user, is_bulk, ready)
  local at = claimable_at(user)
  if not at then return end
  local key, score = key_for(user, is_bulk, true), math.max(at, ready, 1)
  offers[key] = offers[key] or {}
  offers[key][user] = math.min(score, offers[key][user] or math.huge)
  earliest_change = math.min(earliest_change, score)
end

-- Return the score of a user's earliest lane of a priority, nil if there is none.
function schedule.earliest(user, is_bulk)
  local _, score = unpack(redis.call('ZRANGE', lane.set_of(user, is_bulk), 0, 0, 'WITHSCORES'))
  return score and tonumber(score)
end

-- Schedule a user after a change to its lanes of a priority; of both, if it waited for a request in flight. A bucket
-- that has expired, while Redis was away, does not tell.
function schedule.update(user, is_bulk)
  local found = bucket.of(user)
  local both = found.waits == 1 or found.is_new or is_bulk == nil
  bucket.set_waits(found, 0)
  for _, bulk in ipairs({false, true}) do
    if both or bulk == is_bulk then schedule.put(user, bulk, schedule.earliest(user, bulk)) end
  end
end

-- Push a wake-up for a worker, unless there is one.
function schedule.wake_worker()
  if redis.call('LLEN', KEY.wakeups) == 0 then redis.call('LPUSH', KEY.wakeups, '1') end
end

-- Wake a worker of an egress, which may listen to nothing else.
function schedule.wake_egress(name)
  local list = KEY.egress_wakeups .. name
  redis.call('LPUSH', list, '1')
  redis.call('LTRIM', list, 0, 0)
  redis.call('PEXPIRE', list, EGRESS_WAKEUP_TTL_MS)
end

-- Wake workers of other egresses than the given one whose pinned users were put on a schedule.
function schedule.wake_others(egress_name)
  for name in pairs(wakes_egress) do
    if name ~= egress_name then schedule.wake_egress(name) end
  end
end

-- Wake the workers that may serve the users that were put on a schedule.
function schedule.wake_workers()
  if wakes_any then schedule.wake_worker() end
  schedule.wake_others()
end

local function add(command, users)
  local count = #command
  for user, score in pairs(users) do command[#command + 1], command[#command + 2] = score, user end
  if #command > count then redis.call(unpack(command)) end
end

-- Write the schedules that have changed, by one command each. Return the earliest of the new scores (ms).
function schedule.save()
  for key, users in pairs(scores) do add({'ZADD', key}, users) end
  for key, users in pairs(offers) do add({'ZADD', key, 'LT'}, users) end
  for key, users in pairs(removed) do
    local command = {'ZREM', key}
    for user in pairs(users) do command[#command + 1] = user end
    if #command > 2 then redis.call(unpack(command)) end
  end
  scores, removed, offers = {}, {}, {}
  return earliest_change
end

return schedule
