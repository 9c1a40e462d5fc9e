--[[
bucket: the leaky buckets of users and of the egress. A part of the claim script.

A user's next slot is the latest of these:
  - now;
  - its last slot plus the pace. Slots follow from slots, not from claims, so that a late claim does not lower the rate;
    at most `catch_up` of the lateness is made up for;
  - the end of the window that the request `per_window` places back opened (the guard, see worker/queue/rate.py);
  - the end of a hold.
A user that was throttled has a longer pace for a while (see settle.lua).

Each lane that waits for the bucket reserves a due time, one pace after the last reserved one, so that a thousand lanes
of a user do not all come due for one slot. A score that ends in .5 (RESERVED) marks a lane with a reserved time. If the
slot is late by less than a pace when the lane comes due, the lane keeps its turn; else it reserves a new time.

All times are microseconds of Redis's clock. Atomic with the claim so that no slot is given twice.
]]
-- luacheck: read globals BUCKET_SUFFIX BUCKET_TTL_MS MAX_PER_WINDOW LOOK_AHEAD WINDOW_PAD RESERVED
-- luacheck: read globals FULL_PACE LATE
local bucket = {}

local RETRY_AFTER = 20000   -- us until a lane is due again whose slot depends on a request in flight
local MORE_THAN_A_RING = 2 * MAX_PER_WINDOW

local pacing, egress, has_own_rates   -- set by bucket.begin

-- Read the clock and the egress. `options`: the key `egress`; `pace`, `per_window`, `window`, `catch_up`,
-- `egress_pace`, `egress_burst` and `margin_factor` as in worker/queue/rate.py; `max_flight`: how long after its slot a
-- request may arrive at the exchange.
function bucket.begin(options)
  pacing = options
  has_own_rates = redis.call('EXISTS', KEY.rates) == 1
  local time = redis.call('TIME')
  bucket.now = time[1] * 1000000 + time[2]
  bucket.horizon = bucket.now + LOOK_AHEAD
  local tat, since_bulk, pace, user_pace, openings, probe_at, probe_unaffected_at, reason = unpack(
    redis.call('HMGET', options.egress, 'tat', 'since bulk', 'pace', 'user pace', 'open', 'probe at', 'fresh at',
      'why'))
  egress = {
    key = options.egress, tat = tonumber(tat or 0),
    is_published = tonumber(pace or 0) == pacing.egress_pace and tonumber(user_pace or 0) == pacing.pace,
  }
  bucket.claims_since_bulk = tonumber(since_bulk or 0)
  bucket.breaker = {   -- see breaker.lua
    is_open = tonumber(openings or 0) > 0, reason = reason, probe_at = tonumber(probe_at or 0),
    probe_unaffected_at = tonumber(probe_unaffected_at or 0),
  }
end

-- Return the egress's next slot.
function bucket.egress_slot()
  return math.max(bucket.now, egress.tat - pacing.egress_burst)
end

-- An entry of the ring buffer is the end of the window that its request opened. While the request is in flight, the
-- entry is its slot, negated.
local function in_flight_entry(slot) return -slot end

-- Return when the window of a ring entry ends. Of a request in flight only the latest possible end is known, and its
-- settlement may bring an earlier one. So return a time soon after the horizon: the lane is then due again.
local function window_end(entry, window)
  if entry >= 0 then return entry end
  return math.min(-entry + window + pacing.max_flight, bucket.horizon + RETRY_AFTER)
end

-- Return a user's pace, requests per window and window: from the user's own rate if it has one, else the worker's.
local function rate_of(user_id)
  local rate = has_own_rates and tonumber(redis.call('HGET', KEY.rates, user_id) or 0) or 0
  local is_valid = rate > 0 and rate < math.huge   -- false for NaN too
  if not is_valid then return pacing.pace, pacing.per_window, pacing.window end
  local per_window = math.max(1, math.min(MAX_PER_WINDOW, math.floor(rate)))
  local window = math.floor(per_window / rate * 1000000 + 0.5) + WINDOW_PAD
  return math.max(1, math.floor(1000000 / rate * pacing.margin_factor + 0.5)), per_window, window
end

-- Replace a user's ring buffer after its rate has changed, if every window in it, with the new length, ends within the
-- look-ahead. Return when the last of them ends; if that is later, the old ring buffer stays.
local function replace_ring(user)
  local ends = bucket.now
  for i = 0, user.ring_size - 1 do
    local entry = tonumber(redis.call('HGET', user.key, tostring(i)) or 0)
    if entry > 0 then entry = entry - user.ring_window + user.window end
    ends = math.max(ends, window_end(entry, user.window))
  end
  user.tat = math.min(user.tat, user.tat - user.stored_pace + user.pace)
  if ends > bucket.horizon then return ends end
  for i = 0, user.ring_size - 1 do redis.call('HDEL', user.key, tostring(i)) end
  user.tat = math.max(user.tat, ends)   -- the limit of the old ring must hold for a later claim too
  user.slot_number = user.slot_number + MORE_THAN_A_RING   -- a late settlement must not hit an entry of the new ring
  redis.call('HSET', user.key, 'n', user.slot_number, 'tat', user.tat, 'ring', user.per_window, 'window', user.window,
    'pace', user.pace)
  return ends
end

-- Return the bucket of a lane's user, with its next slot in `slot`.
function bucket.for_lane(lane)
  local user_id = string.match(lane, '^[^:]*')
  local user = {key = KEY.bucket .. user_id .. BUCKET_SUFFIX}
  user.pace, user.per_window, user.window = rate_of(user_id)
  local slot_number, tat, reserved_until, hold, ring_size, ring_window, stored_pace, slowdown_permille, faster_at =
    unpack(redis.call('HMGET', user.key, 'n', 'tat', 'turn', 'hold', 'ring', 'window', 'pace', 'slow', 'faster at'))
  slowdown_permille = tonumber(slowdown_permille or FULL_PACE)
  user.pace, user.is_slowed = math.floor(user.pace * slowdown_permille / FULL_PACE), slowdown_permille > FULL_PACE
  user.faster_at = tonumber(faster_at or 0)
  -- A new bucket starts from the Unix time in ms. An expired one had a lower number, at less than a slot a ms.
  -- So a very late settlement does not change an entry of the new bucket.
  user.slot_number = tonumber(slot_number or math.floor(bucket.now / 1000))
  user.tat, user.hold = tonumber(tat or 0), tonumber(hold or 0)
  user.reserved_until = tonumber(reserved_until or 0)
  user.ring_size = math.max(1, math.min(MAX_PER_WINDOW, tonumber(ring_size or user.per_window)))
  user.ring_window = tonumber(ring_window or user.window)
  user.stored_pace = tonumber(stored_pace or user.pace)
  local guard
  if user.ring_size ~= user.per_window or user.ring_window ~= user.window then
    guard = replace_ring(user)
    user.is_changing = guard > bucket.horizon   -- until then the bucket shows its old rate
  else
    local entry = tonumber(redis.call('HGET', user.key, tostring(user.slot_number % user.per_window)) or 0)
    guard = window_end(entry, user.window)
  end
  user.slot = math.max(bucket.now, user.tat, guard, user.hold)
  return user
end

local function extend_ttl(user, reserved_until)
  local relevant_us = math.max(reserved_until, user.hold, user.faster_at, bucket.now) - bucket.now + user.window
    + pacing.max_flight
  redis.call('PEXPIRE', user.key, math.ceil(relevant_us / 1000) + BUCKET_TTL_MS)
end

-- Return the new score (ms) of a lane without a slot within the look-ahead. Reserve a due time unless it keeps its own.
function bucket.postpone(user, has_reserved)
  local due = user.slot - LOOK_AHEAD
  if not has_reserved or user.slot - bucket.horizon >= user.pace then
    due = math.max(due, user.reserved_until)
    redis.call('HSET', user.key, 'turn', due + user.pace, 'turn pace', user.pace)
    if not user.is_changing then redis.call('HSET', user.key, 'pace', user.pace) end
    extend_ttl(user, due + user.pace)
  end
  return math.floor(due / 1000) + RESERVED
end

-- Take the user's slot, and a slot of the egress.
function bucket.take(user)
  local catch_up = user.is_slowed and 0 or pacing.catch_up * user.pace / pacing.pace
  local next_tat = math.floor(math.max(user.tat, user.slot - catch_up)) + user.pace
  local reserved_until = math.max(user.reserved_until, next_tat - LOOK_AHEAD)
  redis.call('HSET', user.key, 'n', user.slot_number + 1, 'tat', next_tat, 'turn', reserved_until,
    'turn pace', user.pace, 'pace', user.pace, 'ring', user.per_window, 'window', user.window,
    tostring(user.slot_number % user.per_window), in_flight_entry(user.slot))
  extend_ttl(user, reserved_until)
  egress.tat = math.max(egress.tat, user.slot) + pacing.egress_pace
end

-- Record until when a lane's request of unknown fate may be applied (us), unless one may be later. No bucket expires
-- before: a request takes less than a lease.
function bucket.set_late(user, lane, late_until)
  local field = LATE .. string.match(lane, ':(.*)$')
  redis.call('HSET', user.key, field, math.max(late_until, tonumber(redis.call('HGET', user.key, field) or 0)))
end

-- Return whether a lane's request of unknown fate may still be applied: nothing newer may go with its repetition.
function bucket.is_late(user, lane)
  return tonumber(redis.call('HGET', user.key, LATE .. string.match(lane, ':(.*)$')) or 0) > bucket.now
end

-- Write the egress's bucket after slots were taken. `egresses`: key of the set of egresses, `name`: its entry there.
function bucket.save_egress(name, claims_since_bulk)
  redis.call('HSET', egress.key, 'tat', egress.tat, 'since bulk', claims_since_bulk)
  local relevant_us = math.max(egress.tat, bucket.now) - bucket.now
  local keep_ms = math.ceil(relevant_us / 1000) + BUCKET_TTL_MS
  if redis.call('PTTL', egress.key) < keep_ms then redis.call('PEXPIRE', egress.key, keep_ms) end
  if egress.is_published then return end
  redis.call('HSET', egress.key, 'pace', pacing.egress_pace, 'user pace', pacing.pace)
  redis.call('SADD', KEY.egresses, name)
end

return bucket
