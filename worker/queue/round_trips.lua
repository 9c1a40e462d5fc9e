--[[
round_trips: keep the shortest round trip of an egress's requests. A part of the settle script.

The guard of a user's bucket subtracts the part of a round trip that is certain (see worker/queue/rate.py). The shortest
of n round trips is above the least possible one: if both ways are random, by about their spread x sqrt(2 / n). So much
is not credited, and nothing before MIN_RTT_SAMPLES. A round trip below what was credited shows that the network path is
another one: what was measured before is forgotten.
Atomic with the settlement so that the round trips of all workers of the egress count.

What is measured is read and written once for all settlements of a run.
Fields of the egress: `min_rtt` the shortest round trip (us), `rtt_count` how many there were and `rtt_total` their sum
(us), since `rtt_since` (us); `previous_min_rtt`, `previous_rtt_count`, `previous_rtt_total`, the same of the measuring
window before.
]]
-- luacheck: read globals clock egress BUCKET_TTL_MS
local round_trips = {}

local MIN_RTT_WINDOW = 60000000     -- us; a round trip is remembered for one to two of these
local MIN_RTT_SAMPLES = 30          -- fewer round trips give no credit
local MIN_RTT_MARGIN = 1000         -- us; clocks and timers tick in milliseconds
local MIN_RTT_TTL_MS = 600000
-- The spread, in distances from the shortest to the mean. It is 2 if both ways are uniformly random. In 4,500 simulated
-- starts at 30 to 70 ms each way, six with 2 had eleven requests in a second, and none with 2.5 or 3.
local SPREAD = 3

local FIELDS = {'min_rtt', 'rtt_count', 'rtt_total'}

local function nothing() return {min_rtt = math.huge, count = 0, total = 0} end

local key, current, previous, since   -- set by round_trips.begin
local has_other_egress
local credit                          -- us that are certain
local is_changed, is_new_window = false, false

local function read(min_rtt, count, total)
  if not total then return nothing() end
  return {min_rtt = tonumber(min_rtt), count = tonumber(count), total = tonumber(total)}
end

-- Read what was measured on an egress.
function round_trips.begin(egress_name)
  key = KEY.egress .. egress_name
  local fields = {}
  for _, prefix in ipairs({'', 'previous_'}) do
    for _, field in ipairs(FIELDS) do fields[#fields + 1] = prefix .. field end
  end
  fields[#fields + 1] = 'rtt_since'
  local values = redis.call('HMGET', key, unpack(fields))
  current, previous = read(unpack(values, 1, 3)), read(unpack(values, 4, 6))
  since = tonumber(values[7] or nil) or -math.huge
  credit = nil
end

-- Return the us of a round trip that are certain.
local function certain()
  local count = current.count + previous.count
  if count < MIN_RTT_SAMPLES then return 0 end
  local shortest = math.min(current.min_rtt, previous.min_rtt)
  local spread = SPREAD * ((current.total + previous.total) / count - shortest)
  return math.max(0, math.floor(shortest - MIN_RTT_MARGIN - spread * math.sqrt(2 / count)))
end

-- Add a round trip (us) to the egress's. Return the us that the guard may subtract: 0 while another egress is in use.
function round_trips.add(round_trip)
  local age = clock.now_us - since
  local is_other_path = round_trip < (credit or certain())
  if is_other_path or age >= MIN_RTT_WINDOW then
    local is_gone = is_other_path or age >= 2 * MIN_RTT_WINDOW
    previous, current, since = is_gone and nothing() or current, nothing(), clock.now_us
    is_new_window = true
  end
  current.min_rtt = math.min(current.min_rtt, round_trip)
  current.count, current.total = current.count + 1, current.total + round_trip
  is_changed = true
  credit = certain()
  if has_other_egress == nil then has_other_egress = egress.is_other_in_use() end
  return has_other_egress and 0 or credit
end

-- Write a measuring window; `prefix` is '' or 'previous_'.
local function write(prefix, window)
  local names = {}
  for i, field in ipairs(FIELDS) do names[i] = prefix .. field end
  if window.count == 0 then return redis.call('HDEL', key, unpack(names)) end
  redis.call('HSET', key, names[1], window.min_rtt, names[2], window.count, names[3], window.total)
end

-- Write what has changed.
function round_trips.save()
  if not is_changed then return end
  write('', current)
  if is_new_window then
    write('previous_', previous)
    redis.call('HSET', key, 'rtt_since', since)
  end
  if redis.call('PTTL', key) < MIN_RTT_TTL_MS then redis.call('PEXPIRE', key, MIN_RTT_TTL_MS + BUCKET_TTL_MS) end
  is_changed, is_new_window = false, false
end

return round_trips
