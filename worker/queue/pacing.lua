--[[
pacing: the slots that a claim takes, by the rate of the user as of now. A part of the claim script.

A rate that has changed applies at once to the pace. If its window is as long as before (whole rates up to
MAX_PER_WINDOW have the same), the ring buffer stays. Otherwise it is replaced when every window in it, with the new
length, has ended; until then the user waits for that.
All times are microseconds of Redis's clock. Atomic with the claim so that no slot is given twice.
]]
-- luacheck: read globals clock bucket MAX_PER_WINDOW WINDOW_PAD FULL_PACE
local pacing = {}

local MORE_THAN_A_RING = 2 * MAX_PER_WINDOW

local now = clock.now_us
local rates, has_own_rates         -- set by pacing.begin

-- Set what the claims of this script pace by: `pace`, `per_window`, `window`, `catch_up`, `margin_factor` as in
-- worker/queue/rate.py.
function pacing.begin(options)
  rates, has_own_rates = options, redis.call('EXISTS', KEY.rates) == 1
end

-- Return a user's pace, requests per window and window: from the user's own rate if it has one, else the worker's.
local function rate_of(user)
  local rate = has_own_rates and tonumber(redis.call('HGET', KEY.rates, user) or 0) or 0
  local is_valid = rate > 0 and rate < math.huge   -- false for NaN too
  if not is_valid then return rates.pace, rates.per_window, rates.window end
  local per_window = math.max(1, math.min(MAX_PER_WINDOW, math.floor(rate)))
  local window = math.floor(per_window / rate * 1000000 + 0.5) + WINDOW_PAD
  return math.max(1, math.floor(1000000 / rate * rates.margin_factor + 0.5)), per_window, window
end

-- Replace the ring buffer after the window has changed, if every window in it, with the new length, ends within the
-- look-ahead. Return when the last of them ends, nil if one is in flight; if it is later, the old ring buffer stays.
local function replace_ring(found, per_window, window)
  local ends = now
  for _, entry in ipairs(found.ring) do
    if entry < 0 then return nil end
    if entry > 0 then ends = math.max(ends, entry - found.window + window) end
  end
  if ends > bucket.horizon then return ends end
  found.ring, found.per_window, found.window = {}, per_window, window
  found.tat = math.max(found.tat, ends)   -- the limit of the old ring must hold for a later claim too
  found.slot_number = found.slot_number + MORE_THAN_A_RING   -- a late settlement must not hit an entry of the new ring
  return ends
end

-- Give a bucket its user's rate as of now. Return the end of what holds it back if the rate is changing, nil if that is
-- not known while a request is in flight.
local function update_rate(found)
  local pace, per_window, window = rate_of(found.user)
  pace = math.floor(pace * found.slowdown_permille / FULL_PACE)
  if found.per_window == 0 then
    found.per_window, found.window = per_window, window
  elseif found.pace ~= pace then
    found.tat = math.min(found.tat, found.tat - found.pace + pace)
  end
  found.pace = pace
  local is_other, ends = found.window ~= window, now
  if is_other or found.per_window ~= per_window or found.is_changing == 1 then bucket.mark_changed(found) end
  if is_other then ends = replace_ring(found, per_window, window) else found.per_window = per_window end
  found.is_changing = (not ends or ends > bucket.horizon) and 1 or 0
  return ends
end

-- Return the next slot of a user by its rate as of now; nil if it depends on a request in flight.
function pacing.slot(found)
  local ends = update_rate(found)
  if found.is_changing == 0 then return bucket.next_slot(found) end
  return ends and math.max(now, found.tat, found.hold, ends)
end

-- Take a slot. Return its number.
function pacing.take(found, slot)
  local number = found.slot_number
  local catch_up = found.slowdown_permille > FULL_PACE and 0 or rates.catch_up * found.pace / rates.pace
  found.tat = math.floor(math.max(found.tat, slot - catch_up)) + found.pace
  found.slot_number = number + 1
  table.insert(found.ring, -slot)
  while #found.ring > math.max(1, found.per_window) do table.remove(found.ring, 1) end   -- these windows have ended
  bucket.mark_changed(found)
  return number
end

return pacing
