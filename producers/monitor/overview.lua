--[[
overview: what the queue is doing, for people who watch.

It reads a bounded number of entries, whatever the size of the queue, and writes nothing. What is of a wrong type is
read as empty. Atomic so that its figures are those of one moment, and one round trip brings them.

KEYS  1 schedule   2 bulk schedule   3 lanes   4 counts   5 paused   6 rates   7 batches   8 workers   9 egresses
      10 refused
ARGV  1 lane prefix   2 head prefix   3 bucket prefix   4 bucket suffix   5 worker prefix   6 egress prefix
      7 how many lanes   8 how many workers, and egresses   9 how many pauses   then keys of dead letters
Reply {now (us), interactive, bulk: each {lanes, due, earliest score or false}, lanes, {outcome, number, ...},
       {number of dead letters for each key}, number of pauses, {scope, since (ms), ...}, number of rates,
       number of users whose keys were refused, number of batches, number of workers alive, {announcement, ...},
       {{egress, tat (us), hold (us), trouble for which its breaker is open, next probe (us), floor (us),
         floor before (us), paused since (ms)}, ...},
       {{lane, score, 1 if bulk, length, token, hold of its user (us), rate of its user, user paused since,
         trader paused since}, ...}}; what there is not is false
]]
local schedule, bulk, lanes, counts, paused, rates = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local batches, workers, egresses = KEYS[7], KEYS[8], KEYS[9]
local lane_prefix, head_prefix, bucket_prefix, bucket_suffix = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local worker_prefix, egress_prefix = ARGV[5], ARGV[6]
local most_lanes, most_workers, most_pauses = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local FIRST_DEAD = 10

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)

local function number(...)
  local reply = redis.pcall(...)
  return type(reply) == 'number' and reply or 0
end

local function list(...)
  local reply = redis.pcall(...)
  return type(reply) == 'table' and not reply.err and reply or {}
end

local function text(...)
  local reply = redis.pcall(...)
  return type(reply) == 'string' and reply or false
end

local function first(entries, most)
  local kept = {}
  for i = 1, math.min(#entries, most) do kept[i] = entries[i] end
  return kept
end

local function load(key)
  local earliest = list('ZRANGE', key, 0, 0, 'WITHSCORES')
  return {number('ZCARD', key), number('ZCOUNT', key, '-inf', now_ms), earliest[2] or false}
end

local function soonest()
  local found = {}
  for is_bulk, key in ipairs({schedule, bulk}) do
    local entries = list('ZRANGE', key, 0, most_lanes - 1, 'WITHSCORES')
    for i = 1, #entries, 2 do found[#found + 1] = {entries[i], entries[i + 1], is_bulk - 1} end
  end
  table.sort(found, function(one, other) return tonumber(one[2]) < tonumber(other[2]) end)
  return first(found, most_lanes)
end

local function described(entry)
  local lane = entry[1]
  local user, trader = string.match(lane, '^([^:]*):?(.*)$')
  entry[4] = number('LLEN', lane_prefix .. lane)
  entry[5] = text('HGET', head_prefix .. lane, 'token')
  entry[6] = text('HGET', bucket_prefix .. user .. bucket_suffix, 'hold')
  entry[7] = text('HGET', rates, user)
  entry[8] = text('HGET', paused, 'user:' .. user)
  entry[9] = text('HGET', paused, 'trader:' .. trader)
  return entry
end

local dead = {}
for i = FIRST_DEAD, #ARGV do dead[#dead + 1] = number('ZCARD', ARGV[i]) end

local presences, names, seen = {}, {}, {}
local function note(egress)
  if not seen[egress] then
    seen[egress] = true
    names[#names + 1] = egress
  end
end
for _, member in ipairs(list('ZRANGEBYSCORE', workers, now_ms, '+inf', 'LIMIT', 0, most_workers)) do
  local payload = text('GET', worker_prefix .. member)
  if payload then
    presences[#presences + 1] = payload
    note(string.match(member, '^[^:]*'))
  end
end
for _, egress in ipairs(list('SMEMBERS', egresses)) do note(egress) end

local exits = {}
local function of_egress(key, field) return text('HGET', key, field) end
for _, egress in ipairs(first(names, most_workers)) do
  local key = egress_prefix .. egress
  exits[#exits + 1] = {egress, of_egress(key, 'tat'), of_egress(key, 'hold'), of_egress(key, 'why'),
    of_egress(key, 'probe at'), of_egress(key, 'floor'), of_egress(key, 'floor before'), text('HGET', paused, 'egress:' .. egress)}
end

-- A scan from its start gives the same entries each time; what concerns everybody must not be missed by it.
local pauses = first(list('HSCAN', paused, 0, 'COUNT', most_pauses)[2] or {}, most_pauses * 2)
local everything = text('HGET', paused, 'everything')
if everything then
  pauses[#pauses + 1] = 'everything'
  pauses[#pauses + 1] = everything
end

local next_lanes = {}
for i, entry in ipairs(soonest()) do next_lanes[i] = described(entry) end

return {now_us, load(schedule), load(bulk), number('ZCARD', lanes), list('HGETALL', counts), dead,
  number('HLEN', paused), pauses, number('HLEN', rates), number('HLEN', KEYS[10]), number('ZCARD', batches),
  number('ZCOUNT', workers, now_ms, '+inf'), presences, exits, next_lanes}
