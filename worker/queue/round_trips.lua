--[[
round_trips: keep the shortest round trip of an egress's requests. A part of the settle script.

The guard of a user's bucket subtracts the part of a round trip that is certain (see worker/queue/rate.py).
Atomic with the settlement so that the round trips of all workers of the egress count.

Fields of the egress: `floor` the shortest round trip (us) and `samples` how many there were, since `since` (us);
`floor before` and `samples before`, the same of the measuring window before.
]]
-- luacheck: read globals EGRESS_PREFIX BUCKET_TTL_MS
local round_trips = {}

local MIN_RTT_WINDOW = 60000000     -- us; a round trip is remembered for one to two of these
local MIN_RTT_SAMPLES = 10          -- fewer round trips give no credit
local MIN_RTT_MARGIN = 1000         -- us; clocks and timers tick in milliseconds
local MIN_RTT_TTL_MS = 600000

-- Return whether another egress is in use. If so, the user's next request may take another network path.
local function has_other_egress(egress, egresses)
  if redis.call('SCARD', egresses) < 2 then return false end
  for _, name in ipairs(redis.call('SMEMBERS', egresses)) do
    if EGRESS_PREFIX .. name ~= egress and redis.call('EXISTS', EGRESS_PREFIX .. name) == 1 then return true end
  end
  return false
end

-- Add a round trip (us) to the egress's minimum, which covers the current measuring window and the one before. Return
-- the us that the guard may subtract: 0 with too few samples, or while another egress is in use.
function round_trips.add(egress, egresses, round_trip, now)
  local min_rtt, samples, since, min_rtt_before, samples_before = unpack(
    redis.call('HMGET', egress, 'floor', 'samples', 'since', 'floor before', 'samples before'))
  min_rtt, samples, since = tonumber(min_rtt or round_trip), tonumber(samples or 0), tonumber(since or now)
  min_rtt_before, samples_before = tonumber(min_rtt_before or round_trip), tonumber(samples_before or 0)
  if now - since >= 2 * MIN_RTT_WINDOW then
    min_rtt_before, samples_before, min_rtt, samples, since = round_trip, 0, round_trip, 0, now
  elseif now - since >= MIN_RTT_WINDOW then
    min_rtt_before, samples_before, min_rtt, samples, since = min_rtt, samples, round_trip, 0, now
  end
  min_rtt, samples = math.min(min_rtt, round_trip), samples + 1
  redis.call('HSET', egress, 'floor', min_rtt, 'samples', samples, 'since', since, 'floor before', min_rtt_before,
    'samples before', samples_before)
  if redis.call('PTTL', egress) < MIN_RTT_TTL_MS then redis.call('PEXPIRE', egress, MIN_RTT_TTL_MS + BUCKET_TTL_MS) end
  if samples + samples_before < MIN_RTT_SAMPLES or has_other_egress(egress, egresses) then return 0 end
  return math.max(0, math.min(min_rtt, min_rtt_before) - MIN_RTT_MARGIN)
end

return round_trips
