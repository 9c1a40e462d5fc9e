--[[
session: the leases of worker processes on what they have in flight. A part of claim, settle, renew and overview.

A session has lapsed when nobody has heard of it for more than its TTL of served time. The served clock counts time in
which Redis served: of each gap between two renewals, by anybody, at most two beats of the renewer. So a Redis that
stood still takes nobody's lanes away.

`sessions` has for each session a row `<served> <renewed> <TTL> <late for> <refused claims> <dead>`: the served clock
and the time at its last renewal, its TTL, for how long after its end a request of it may still be applied (all in ms),
the number up to which its claims are refused, and 1 if it is dead. The row `clock` has the served clock and the time of
the last renewal. A session that is not there, or dead, can neither be renewed nor claim: its worker opens another one.
`held:<session>` has for each lane in flight `<claim number>.<row> <slot (us)> <slot number>`; the first word is its
token.
Atomic with the rest of its script so that no lane is in two sessions.
]]
-- luacheck: read globals clock BEATS_PER_TTL
local session = {}

local CLOCK = 'clock'
local MAX_WORDS = 1000   -- of one command: Lua's stack holds 8,000

local function text_of(row)
  return string.format('%d %d %d %d %d %d', row.served, row.renewed, row.ttl, row.late_for, row.refused_claims,
    row.dead)
end

local function parse(text)
  local served, renewed, ttl, late_for, refused_claims, dead = string.match(text,
    '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d)$')
  if not served then return nil end
  return {served = tonumber(served), renewed = tonumber(renewed), ttl = tonumber(ttl), late_for = tonumber(late_for),
    refused_claims = tonumber(refused_claims), dead = tonumber(dead)}
end

local function read(id)
  local text = redis.call('HGET', KEY.sessions, id)
  return text and parse(text)
end

-- Return whether a session may claim, under a number that grows from claim to claim.
function session.may_claim(id, number)
  local row = read(id)
  return row and row.dead == 0 and number > row.refused_claims
end

-- Return the served clock as of now, for a renewer with a TTL (ms); `text` is its row.
local function served_now(text, ttl)
  local served, last = string.match(text or '', '^(%d+) (%d+)$')
  local gap = math.max(0, clock.now_ms - tonumber(last or clock.now_ms))
  return tonumber(served or 0) + math.min(gap, math.floor(2 * ttl / BEATS_PER_TTL))
end

-- Return the rows of a session and of the clock, or those of all sessions, and how many sessions there are (0 if not
-- all were read).
local function read_rows(id, reads_all)
  local rows = {}
  if not reads_all then
    local texts = redis.call('HMGET', KEY.sessions, id, CLOCK)
    rows[id], rows[CLOCK] = texts[1] or nil, texts[2] or nil
    return rows, 0
  end
  local texts = redis.call('HGETALL', KEY.sessions)
  for i = 1, #texts, 2 do rows[texts[i]] = texts[i + 1] end
  return rows, #texts / 2 - (rows[CLOCK] and 1 or 0)
end

-- Open a session (TTLs in ms), or renew it; claims up to `refused_claims` are refused from now on. Return false if it
-- is dead or not known; else, if the renewal `looks` for them, the sessions that are dead, also those that have lapsed
-- just now: {id, row} of each, how many sessions there are, and whether more have lapsed.
function session.renew(id, options)
  local rows, count = read_rows(id, options.looks)
  local row = rows[id] and parse(rows[id])
  if not row and not options.opens then return false end
  if row and row.dead == 1 then return false end
  local served, dead, has_more = served_now(rows[CLOCK], options.ttl), {}, false
  local changes = {CLOCK, string.format('%d %d', served, clock.now_ms), id, text_of({served = served,
    renewed = clock.now_ms, ttl = options.ttl, late_for = options.late_for, dead = 0,
    refused_claims = math.max(options.refused_claims, row and row.refused_claims or 0)})}
  for other_id, text in pairs(rows) do
    local other = other_id ~= id and parse(text)
    local has_lapsed = other and other.dead == 0 and served - other.served > other.ttl
    has_more = has_more or has_lapsed and #changes >= MAX_WORDS
    if has_lapsed and #changes < MAX_WORDS then
      other.dead = 1
      changes[#changes + 1], changes[#changes + 2] = other_id, text_of(other)
    end
    if other and other.dead == 1 then dead[#dead + 1] = {id = other_id, row = other} end
  end
  redis.call('HSET', KEY.sessions, unpack(changes))
  return dead, count, has_more
end

-- Return when a session ended at the latest (us): no worker that obeys its own clock sent anything later.
function session.end_us(row) return (row.renewed + row.ttl) * 1000 end

-- Return when a session ends unless it is renewed (ms), 0 if there is none.
function session.ends_at(id)
  local row = read(id)
  return row and row.dead == 0 and row.renewed + row.ttl or 0
end

function session.forget(id) redis.call('HDEL', KEY.sessions, id) end

-- Put lanes in flight: `lanes` has {name, token, slot, slot number} of each.
function session.hold(id, lanes)
  local command = {'HSET', KEY.held .. id}
  for _, held in ipairs(lanes) do
    command[#command + 1] = held.name
    command[#command + 1] = string.format('%s %d %d', held.token, held.slot, held.slot_number)
  end
  if #lanes > 0 then redis.call(unpack(command)) end
end

-- Return what is held of a lane: token, slot (us), slot number.
function session.parse_held(text)
  local token, slot, number = string.match(text, '^(%S+) (%d+) (%d+)$')
  return token, tonumber(slot), tonumber(number)
end

-- Return the tokens by which a session holds lanes, by lane.
function session.tokens(id, lanes)
  local tokens = {}
  for i, text in ipairs(redis.call('HMGET', KEY.held .. id, unpack(lanes))) do
    if text then tokens[lanes[i]] = session.parse_held(text) end
  end
  return tokens
end

function session.release(id, lanes)
  if #lanes > 0 then redis.call('HDEL', KEY.held .. id, unpack(lanes)) end
end

return session
