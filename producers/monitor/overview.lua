--[[
overview: read a snapshot of the queue for monitoring. Writes nothing.

Every list is limited, so the cost does not grow with the queue. Atomic so that all figures are of one moment.

ARGV  1 the request, see OverviewRequest in overview.py
Reply {now (us), interactive, bulk, counts, dead letters, number of pauses, pauses, number of user rates,
       number of users whose keys were rejected, number of batches, workers, egresses, next lanes, in flight,
       paused lanes}; a value that does not exist is nil
        interactive, bulk  {users, due users, earliest score (ms)}
        counts             {name, number, ...}
        dead letters       {number of letters in each index}
        pauses             {scope, since (ms), ...}
        workers            {announcement in msgpack, ...}: of those whose session has not ended
        egresses           {{name, tat (us), hold until (us), reason for its open breaker, next probe (us),
                             shortest round trip (us), the same one period earlier, paused since (ms),
                             number of users pinned to it, how many of them are due,
                             number of slots taken}, ...}
        next lanes         {{name, score of its user (ms), 1 if bulk, changes, hold of its user until (us),
                             rate of its user, user paused since (ms), trader paused since (ms)}, ...}
        in flight          number of lanes that sessions hold
        paused lanes       number of lanes that wait for the end of a listed pause of their user or trader
]]
-- luacheck: read globals clock bucket lane schedule session input
-- luacheck: read globals THROTTLED MAX_LANES MAX_WORKERS MAX_EGRESSES MAX_PAUSES
local now_us, now_ms = clock.now_us, clock.now_ms

local function first(entries, limit)
  local kept = {}
  for i = 1, math.min(#entries, limit) do kept[i] = entries[i] end
  return kept
end

-- The egresses that users are pinned to, and what is read of them: {number of users, number of due ones}.
local pinned_names, pinned = {}, {}
for _, name in ipairs(first(redis.call('HKEYS', KEY.pinned), MAX_EGRESSES)) do
  pinned_names[#pinned_names + 1] = name
  pinned[name] = {tonumber(redis.call('HGET', KEY.pinned, name)) or 0, 0}
end

-- Return the keys of all schedules of a priority, those of pinned users by egress.
local function schedules_of(is_bulk)
  local keys = {[''] = schedule.key(is_bulk)}
  for _, name in ipairs(pinned_names) do keys[name] = schedule.key(is_bulk, name) end
  return keys
end

local function schedule_load(is_bulk)
  local users, due, earliest = 0, 0, nil
  for name, key in pairs(schedules_of(is_bulk)) do
    local due_here = redis.call('ZCOUNT', key, '-inf', now_ms)
    local _, score = unpack(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES'))
    users, due = users + redis.call('ZCARD', key), due + due_here
    if score and (not earliest or tonumber(score) < tonumber(earliest)) then earliest = score end
    if pinned[name] then pinned[name][2] = pinned[name][2] + due_here end
  end
  return {users, due, earliest or false}
end

local function dead_letter_counts()
  local found = {}
  for i, outcome in ipairs(input.dead_outcomes) do found[i] = redis.call('ZCARD', KEY.dead_letters .. outcome) end
  return found
end

-- Returns scope, time, scope, time, ... A limited HSCAN returns the same fields each time and could always miss the
-- pause of everything, so that one is read by name.
local function list_pauses()
  local found = first(redis.call('HSCAN', KEY.paused, 0, 'COUNT', MAX_PAUSES)[2], MAX_PAUSES * 2)
  local everything = redis.call('HGET', KEY.paused, 'everything')
  if everything then
    found[#found + 1] = 'everything'
    found[#found + 1] = everything
  end
  return found
end

-- Return how many lanes wait for the end of the pauses, in the form of list_pauses.
local function count_paused_lanes(pauses)
  local count = 0
  for i = 1, #pauses, 2 do
    local kind, name = string.match(pauses[i], '^(%a+):(.*)$')
    if kind == 'user' then
      for _, is_bulk in ipairs({false, true}) do
        count = count + redis.call('ZCOUNT', lane.set_of(name, is_bulk), '-inf', '(' .. lane.PARKED)
      end
    elseif kind == 'trader' then
      count = count + redis.call('SCARD', KEY.parked .. name)
    end
  end
  return count
end

-- Return the sessions that have not ended, and the number of lanes that all of them hold.
local function list_sessions()
  local alive, in_flight = {}, 0
  for _, id in ipairs(redis.call('HKEYS', KEY.sessions)) do
    if session.ends_at(id) >= now_ms then alive[id] = true end
    in_flight = in_flight + redis.call('HLEN', KEY.held .. id)
  end
  return alive, in_flight
end

-- The announcements of live workers, and the names of their egresses and of those used recently.
local function list_workers(alive)
  local announcements, names, seen = {}, {}, {}
  local function add_egress(name)
    if not seen[name] then names[#names + 1] = name end
    seen[name] = true
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEY.workers, now_ms, '+inf', 'LIMIT', 0, MAX_WORKERS)) do
    local egress_name, session_id = string.match(member, '^([^:]*):([^:]*):')
    local payload = alive[session_id] and redis.call('GET', KEY.worker .. member)
    if payload then
      announcements[#announcements + 1] = payload
      add_egress(egress_name)
    end
  end
  for _, name in ipairs(pinned_names) do add_egress(name) end
  for _, name in ipairs(redis.call('SMEMBERS', KEY.egresses)) do add_egress(name) end
  return announcements, first(names, MAX_EGRESSES)
end

local function describe_egress(name)
  local tat, open_reason, probe_at, min_rtt, min_rtt_before, taken = unpack(redis.call('HMGET', KEY.egress .. name,
    'tat', 'reason', 'probe_at', 'min_rtt', 'previous_min_rtt', 'taken'))
  local hold_until = open_reason == THROTTLED and probe_at
  local paused_since = redis.call('HGET', KEY.paused, 'egress:' .. name)
  local users, due = unpack(pinned[name] or {0, 0})
  return {name, tat, hold_until, open_reason, probe_at, min_rtt, min_rtt_before, paused_since, users, due, taken}
end

-- Describe the lane of a user that is served next; nil if the user has none that waits.
local function describe_lane(entry)
  local user = entry.user
  local trader, score = unpack(redis.call('ZRANGE', lane.set_of(user, entry.is_bulk), 0, 0, 'WITHSCORES'))
  local head = trader and lane.is_waiting(tonumber(score)) and lane.read(user, trader)
  if not head then return nil end
  local user_paused, trader_paused = unpack(redis.call('HMGET', KEY.paused, 'user:' .. user, 'trader:' .. trader))
  return {head.name, entry.score, entry.is_bulk and 1 or 0, head.changes, bucket.of(user).hold,
    redis.call('HGET', KEY.rates, user), user_paused, trader_paused}
end

local function list_next_lanes()
  local found, described = {}, {}
  for _, is_bulk in ipairs({false, true}) do
    for _, key in pairs(schedules_of(is_bulk)) do
      local entries = redis.call('ZRANGE', key, 0, MAX_LANES - 1, 'WITHSCORES')
      for i = 1, #entries, 2 do
        found[#found + 1] = {user = entries[i], score = entries[i + 1], is_bulk = is_bulk}
      end
    end
  end
  table.sort(found, function(left, right) return tonumber(left.score) < tonumber(right.score) end)
  for _, entry in ipairs(first(found, MAX_LANES)) do described[#described + 1] = describe_lane(entry) end
  return described
end

local alive, in_flight = list_sessions()
local announcements, egress_names = list_workers(alive)
local interactive, bulk = schedule_load(false), schedule_load(true)
local described_egresses = {}
for i, name in ipairs(egress_names) do described_egresses[i] = describe_egress(name) end
local pauses = list_pauses()

return {now_us, interactive, bulk,
  redis.call('HGETALL', KEY.counts), dead_letter_counts(), redis.call('HLEN', KEY.paused), pauses,
  redis.call('HLEN', KEY.rates), redis.call('HLEN', KEY.rejected_keys), redis.call('ZCARD', KEY.batches),
  announcements, described_egresses, list_next_lanes(), in_flight, count_paused_lanes(pauses)}
