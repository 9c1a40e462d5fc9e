--[[
bucket: a user's leaky bucket and the egress's. A part of the claim script: it stands before the script's own text.

A slot of a user is the latest of: now; the slot before it plus the pace (slots follow from slot to slot, so that a
late claim does not slow the pace; at most `catch up` is made good); the end of the window that the request a window's
worth back opened; a hold. Atomic with the claim so that a slot is given once. A user that was throttled has a longer pace for a while, see settle.lua.

Lanes of one user take turns, so that a thousand of them do not all come due for one slot. A score that ends in .5
says that the lane was promised its time: put off for less than a pace it keeps its place, else it takes the next turn
that nobody was promised.

Its arguments begin where the script says, in this order: 1 bucket prefix   2 bucket suffix   3 look-ahead (us)
4 user pace (us a request)   5 requests a window   6 window (us)   7 its pad (us)   8 catch up (us)   9 how long a
request may be under way (us)   10 egress pace (us a request)   11 egress burst (us)   12 factor of every user pace
]]
local bucket = {}

local LOOK_AGAIN = 20000   -- us; a slot that hangs on a request still under way is asked for again this soon
local KEEP_MS = 60000
local PROMISED = 0.5
local MOST_A_WINDOW = 100
local AS_SET = 1000        -- how slow a user is that was not throttled, in thousandths of its pace
local BEYOND_ANY_RING = 2 * MOST_A_WINDOW

function bucket.begin(first, rates, egress)
  bucket.prefix, bucket.suffix = ARGV[first], ARGV[first + 1]
  bucket.look_ahead, bucket.pace = tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  bucket.per_window, bucket.window = tonumber(ARGV[first + 4]), tonumber(ARGV[first + 5])
  bucket.pad, bucket.catch_up = tonumber(ARGV[first + 6]), tonumber(ARGV[first + 7])
  bucket.under_way = tonumber(ARGV[first + 8])
  bucket.egress_pace, bucket.egress_burst = tonumber(ARGV[first + 9]), tonumber(ARGV[first + 10])
  bucket.factor = tonumber(ARGV[first + 11])
  bucket.rates = redis.call('EXISTS', rates) == 1 and rates or nil
  local time = redis.call('TIME')
  bucket.now = time[1] * 1000000 + time[2]
  bucket.horizon = bucket.now + bucket.look_ahead
  bucket.egress = egress
  local exit = redis.call('HMGET', egress, 'tat', 'hold', 'since bulk', 'pace', 'user pace', 'open', 'probe at', 'fresh at', 'why')
  bucket.egress_tat, bucket.egress_hold = tonumber(exit[1] or 0), tonumber(exit[2] or 0)
  bucket.since_bulk = tonumber(exit[3] or 0)
  bucket.open, bucket.probe_at = tonumber(exit[6] or 0) > 0, tonumber(exit[7] or 0)   -- see breaker.lua
  bucket.fresh_at, bucket.why = tonumber(exit[8] or 0), exit[9]
  bucket.told = tonumber(exit[4] or 0) == bucket.egress_pace and tonumber(exit[5] or 0) == bucket.pace
end

function bucket.egress_slot()
  return math.max(bucket.now, bucket.egress_hold, bucket.egress_tat - bucket.egress_burst)
end

-- Pace, requests a window and window of a user: the worker's, unless the user has a rate of its own.
local function figures(user)
  local rate = bucket.rates and tonumber(redis.call('HGET', bucket.rates, user) or 0) or 0
  if not (rate > 0 and rate < math.huge) then return bucket.pace, bucket.per_window, bucket.window end   -- nor NaN
  local per_window = math.max(1, math.min(MOST_A_WINDOW, math.floor(rate)))
  local window = math.floor(per_window / rate * 1000000 + 0.5) + bucket.pad
  return math.max(1, math.floor(1000000 / rate * bucket.factor + 0.5)), per_window, window
end

-- A changed rate has another ring: it is begun when all that the old one remembers is a (new) window ago.
local function change_ring(one)
  local clear = bucket.now
  for i = 0, one.ring - 1 do
    local ends = tonumber(redis.call('HGET', one.key, tostring(i)) or 0)
    if ends < 0 then ends = math.min(-ends + one.window + bucket.under_way, bucket.horizon + LOOK_AGAIN)
    elseif ends > 0 then ends = ends - one.old_window + one.window end
    clear = math.max(clear, ends)
  end
  one.tat = math.min(one.tat, one.tat - one.old_pace + one.pace)
  if clear > bucket.horizon then return clear end
  for i = 0, one.ring - 1 do redis.call('HDEL', one.key, tostring(i)) end
  one.tat = math.max(one.tat, clear)   -- what the old ring knew, whoever takes the slot
  one.n = one.n + BEYOND_ANY_RING   -- what is settled late must not meet an entry of the new ring
  redis.call('HSET', one.key, 'n', one.n, 'tat', one.tat, 'ring', one.per_window, 'window', one.window,
    'pace', one.pace)
  return clear
end

-- The bucket of a lane's user, with its next slot.
function bucket.of(lane)
  local user = string.match(lane, '^[^:]*')
  local one = {key = bucket.prefix .. user .. bucket.suffix}
  one.pace, one.per_window, one.window = figures(user)
  local state = redis.call('HMGET', one.key, 'n', 'tat', 'turn', 'hold', 'ring', 'window', 'pace', 'slow', 'faster at')
  local slow = tonumber(state[8] or AS_SET)   -- see settle.lua
  one.pace, one.is_slowed = math.floor(one.pace * slow / AS_SET), slow > AS_SET
  one.faster_at = tonumber(state[9] or 0)
  -- A bucket that was forgotten counts on from a number that it had not reached (it takes fewer slots than there are
  -- milliseconds), so that what is settled very late does not meet an entry of the new one.
  one.n, one.tat = tonumber(state[1] or math.floor(bucket.now / 1000)), tonumber(state[2] or 0)
  one.turn, one.hold = tonumber(state[3] or 0), tonumber(state[4] or 0)
  one.ring = math.max(1, math.min(MOST_A_WINDOW, tonumber(state[5] or one.per_window)))   -- whoever wrote it
  one.old_window = tonumber(state[6] or one.window)
  one.old_pace = tonumber(state[7] or one.pace)
  local window_end
  if one.ring ~= one.per_window or one.old_window ~= one.window then
    window_end = change_ring(one)
    one.changing = window_end > bucket.horizon   -- until then the bucket tells the old figures
  else
    window_end = tonumber(redis.call('HGET', one.key, tostring(one.n % one.per_window)) or 0)
    if window_end < 0 then
      window_end = math.min(-window_end + one.window + bucket.under_way, bucket.horizon + LOOK_AGAIN)
    end
  end
  one.slot = math.max(bucket.now, one.tat, window_end, one.hold)
  return one
end

local function keep(one, turn)
  local matters_us = math.max(turn, one.hold, one.faster_at, bucket.now) - bucket.now + one.window + bucket.under_way
  redis.call('PEXPIRE', one.key, math.ceil(matters_us / 1000) + KEEP_MS)
end

-- When a lane is due that has no slot within the look-ahead (ms, with the mark of a promise).
function bucket.put_off_until(one, promised)
  local due = one.slot - bucket.look_ahead
  if not promised or one.slot - bucket.horizon >= one.pace then
    due = math.max(due, one.turn)
    redis.call('HSET', one.key, 'turn', due + one.pace, 'turn pace', one.pace)
    if not one.changing then redis.call('HSET', one.key, 'pace', one.pace) end
    keep(one, due + one.pace)
  end
  return math.floor(due / 1000) + PROMISED
end

function bucket.take(one)
  local catch_up = one.is_slowed and 0 or bucket.catch_up * one.pace / bucket.pace
  local next_tat = math.floor(math.max(one.tat, one.slot - catch_up)) + one.pace
  local next_turn = math.max(one.turn, next_tat - bucket.look_ahead)
  redis.call('HSET', one.key, 'n', one.n + 1, 'tat', next_tat, 'turn', next_turn, 'turn pace', one.pace,
    'pace', one.pace, 'ring', one.per_window, 'window', one.window, tostring(one.n % one.per_window), -one.slot)
  keep(one, next_turn)
  bucket.egress_tat = math.max(bucket.egress_tat, one.slot) + bucket.egress_pace
end

-- Writes what the egress's bucket is after some slots were taken.
function bucket.keep_egress(egresses, name)
  redis.call('HSET', bucket.egress, 'tat', bucket.egress_tat, 'since bulk', bucket.since_bulk)
  local matters_us = math.max(bucket.egress_tat, bucket.egress_hold, bucket.now) - bucket.now
  local keep_ms = math.ceil(matters_us / 1000) + KEEP_MS
  if redis.call('PTTL', bucket.egress) < keep_ms then redis.call('PEXPIRE', bucket.egress, keep_ms) end
  if bucket.told then return end
  redis.call('HSET', bucket.egress, 'pace', bucket.egress_pace, 'user pace', bucket.pace)
  redis.call('SADD', egresses, name)
end

return bucket
