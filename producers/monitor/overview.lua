--[[
overview: read a snapshot of the queue for monitoring. Writes nothing.

Every list is limited, so the cost does not grow with the queue. Atomic so that all figures are of one moment.

ARGV  1 and on: the outcomes of dead letters
Reply {now (us), interactive, bulk, number of lanes, counts, dead letters, number of pauses, pauses,
       number of user rates, number of users whose keys were rejected, number of batches, number of live workers,
       workers, egresses, next lanes}; a value that does not exist is nil
        interactive, bulk  {lanes, due lanes, earliest score (ms)}
        counts             {name, number, ...}
        dead letters       {number of letters in each index}
        pauses             {scope, since (ms), ...}
        workers            {announcement in msgpack, ...}
        egresses           {{name, tat (us), hold until (us), reason for its open breaker, next probe (us),
                             shortest round trip (us), the same one period earlier, paused since (ms)}, ...}
        next lanes         {{name, score (ms), 1 if bulk, length, token, hold of its user until (us), rate of its user,
                             user paused since (ms), trader paused since (ms)}, ...}
]]
-- luacheck: read globals BUCKET_SUFFIX
-- luacheck: read globals THROTTLED MAX_LANES MAX_WORKERS MAX_EGRESSES MAX_PAUSES
local dead_outcomes = ARGV

local seconds, micros = unpack(redis.call('TIME'))
local now_us = seconds * 1000000 + micros
local now_ms = math.floor(now_us / 1000)

local function first(entries, limit)
  local kept = {}
  for i = 1, math.min(#entries, limit) do kept[i] = entries[i] end
  return kept
end

local function schedule_load(key)
  local earliest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return {redis.call('ZCARD', key), redis.call('ZCOUNT', key, '-inf', now_ms), earliest[2] or false}
end

local function dead_letter_counts()
  local found = {}
  for i, outcome in ipairs(dead_outcomes) do found[i] = redis.call('ZCARD', KEY.dead_letters .. outcome) end
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

-- The announcements of live workers, and the names of their egresses and of those used recently.
local function list_workers()
  local announcements, names, seen = {}, {}, {}
  local function add_egress(name)
    if not seen[name] then names[#names + 1] = name end
    seen[name] = true
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEY.workers, now_ms, '+inf', 'LIMIT', 0, MAX_WORKERS)) do
    local payload = redis.call('GET', KEY.worker .. member)
    if payload then
      announcements[#announcements + 1] = payload
      add_egress(string.match(member, '^[^:]*'))
    end
  end
  for _, name in ipairs(redis.call('SMEMBERS', KEY.egresses)) do add_egress(name) end
  return announcements, first(names, MAX_EGRESSES)
end

local function describe_egress(name)
  local tat, open_reason, probe_at, min_rtt, min_rtt_before = unpack(redis.call('HMGET', KEY.egress .. name, 'tat',
    'why', 'probe at', 'floor', 'floor before'))
  local hold_until = open_reason == THROTTLED and probe_at
  local paused_since = redis.call('HGET', KEY.paused, 'egress:' .. name)
  return {name, tat, hold_until, open_reason, probe_at, min_rtt, min_rtt_before, paused_since}
end

local function describe_lane(lane, score, is_bulk)
  local user, trader = string.match(lane, '^([^:]*):?(.*)$')
  local user_paused, trader_paused = unpack(redis.call('HMGET', KEY.paused, 'user:' .. user, 'trader:' .. trader))
  local length = redis.call('LLEN', KEY.lane .. lane)
  local token = redis.call('HGET', KEY.head .. lane, 'token')
  local hold_until = redis.call('HGET', KEY.bucket .. user .. BUCKET_SUFFIX, 'hold')
  local rate = redis.call('HGET', KEY.rates, user)
  return {lane, score, is_bulk, length, token, hold_until, rate, user_paused, trader_paused}
end

local function list_next_lanes()
  local found = {}
  for is_bulk, key in ipairs({KEY.schedule, KEY.bulk_schedule}) do
    local entries = redis.call('ZRANGE', key, 0, MAX_LANES - 1, 'WITHSCORES')
    for i = 1, #entries, 2 do
      found[#found + 1] = {lane = entries[i], score = entries[i + 1], is_bulk = is_bulk - 1}
    end
  end
  table.sort(found, function(left, right) return tonumber(left.score) < tonumber(right.score) end)
  local described = {}
  for i, entry in ipairs(first(found, MAX_LANES)) do
    described[i] = describe_lane(entry.lane, entry.score, entry.is_bulk)
  end
  return described
end

local announcements, egress_names = list_workers()
local described_egresses = {}
for i, name in ipairs(egress_names) do described_egresses[i] = describe_egress(name) end

return {now_us, schedule_load(KEY.schedule), schedule_load(KEY.bulk_schedule), redis.call('ZCARD', KEY.lanes),
  redis.call('HGETALL', KEY.counts), dead_letter_counts(), redis.call('HLEN', KEY.paused), list_pauses(),
  redis.call('HLEN', KEY.rates), redis.call('HLEN', KEY.rejected_keys), redis.call('ZCARD', KEY.batches),
  redis.call('ZCOUNT', KEY.workers, now_ms, '+inf'), announcements, described_egresses, list_next_lanes()}
