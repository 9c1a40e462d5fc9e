--[[
round_trips: keep the shortest round trip of an egress's requests. A part of the settle script.

The guard of a user's bucket subtracts the part of a round trip that is certain (see worker/queue/rate.py). The shortest
of n round trips is above the least possible one: if both ways are random, by about their spread x sqrt(2 / n). So much
is not credited, and nothing before MIN_RTT_SAMPLES. A round trip below what was credited shows that the network path is
another one: what was measured before is forgotten.
Atomic with the settlement so that the round trips of all workers of the egress count.

Fields of the egress: `floor` the shortest round trip (us), `samples` how many there were and `total` their sum (us),
since `since` (us); `floor before`, `samples before` and `total before`, the same of the measuring window before.
]]
-- luacheck: read globals BUCKET_TTL_MS
local round_trips = {}

local MIN_RTT_WINDOW = 60000000     -- us; a round trip is remembered for one to two of these
local MIN_RTT_SAMPLES = 30          -- fewer round trips give no credit
local MIN_RTT_MARGIN = 1000         -- us; clocks and timers tick in milliseconds
local MIN_RTT_TTL_MS = 600000
local MAX_NAMES = 20                -- egresses that one settlement looks at
-- The spread, in distances from the shortest to the mean. It is 2 if both ways are uniformly random. In 4,500 simulated
-- starts at 30 to 70 ms each way, six with 2 had eleven requests in a second, and none with 2.5 or 3.
local SPREAD = 3

-- Return whether another egress is in use. If so, the user's next request may take another network path. Only some
-- names are looked at, and those that have expired are removed: while there are more, one of them may be in use.
local function has_other_egress(egress)
  local names = redis.call('SRANDMEMBER', KEY.egresses, MAX_NAMES)
  for _, name in ipairs(names) do
    if KEY.egress .. name ~= egress then
      if redis.call('EXISTS', KEY.egress .. name) == 1 then return true end
      redis.call('SREM', KEY.egresses, name)
    end
  end
  return #names == MAX_NAMES
end

-- Return the us of a round trip that are certain, from two measuring windows, each {floor, samples, total}.
local function certain(current, before)
  local samples = current.samples + before.samples
  if samples < MIN_RTT_SAMPLES then return 0 end
  local shortest = math.min(current.floor, before.floor)
  local spread = SPREAD * ((current.total + before.total) / samples - shortest)
  return math.max(0, math.floor(shortest - MIN_RTT_MARGIN - spread * math.sqrt(2 / samples)))
end

local function read(floor, samples, total)
  if not total then return {floor = math.huge, samples = 0, total = 0} end
  return {floor = tonumber(floor), samples = tonumber(samples), total = tonumber(total)}
end

-- Write a measuring window; `suffix` is '' or ' before'.
local function write(egress, suffix, window)
  if window.samples == 0 then
    redis.call('HDEL', egress, 'floor' .. suffix, 'samples' .. suffix, 'total' .. suffix)
  else
    redis.call('HSET', egress, 'floor' .. suffix, window.floor, 'samples' .. suffix, window.samples, 'total' .. suffix,
      window.total)
  end
end

-- Add a round trip (us) to the egress's. Return the us that the guard may subtract: 0 while another egress is in use.
function round_trips.add(egress, round_trip, now)
  local fields = redis.call('HMGET', egress, 'floor', 'samples', 'total', 'floor before', 'samples before',
    'total before', 'since')
  local current, before = read(unpack(fields, 1, 3)), read(unpack(fields, 4, 6))
  local age = now - (tonumber(fields[7] or nil) or -math.huge)
  local is_other_path = round_trip < certain(current, before)
  if is_other_path or age >= MIN_RTT_WINDOW then
    local is_gone = is_other_path or age >= 2 * MIN_RTT_WINDOW
    before = is_gone and {floor = math.huge, samples = 0, total = 0} or current
    current = {floor = math.huge, samples = 0, total = 0}
    write(egress, ' before', before)
    redis.call('HSET', egress, 'since', now)
  end
  current.floor, current.samples = math.min(current.floor, round_trip), current.samples + 1
  current.total = current.total + round_trip
  write(egress, '', current)
  if redis.call('PTTL', egress) < MIN_RTT_TTL_MS then redis.call('PEXPIRE', egress, MIN_RTT_TTL_MS + BUCKET_TTL_MS) end
  return has_other_egress(egress) and 0 or certain(current, before)
end

return round_trips
