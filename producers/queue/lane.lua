--[[
lane: the changes of one user and trader, in their order. A part of every script that reads or changes lanes.

A lane's head is an entry of the hash `heads:<user>`, with the counts of the lane; the entries behind it are the list
`rest:<lane>`, which exists only if there are some. An entry is `<flags> <job ID>`. Flags: `i` or `b` for its priority;
`c` if it may be sent in one request with the changes before it; `t<n>` if its content is its batch's template, of the
batch's n-th run.

The lane is in one of the user's two sorted sets: in `lanes` if one of its changes is interactive, else in `bulk`. Its
score is the time before which it is not claimed (ms), IN_FLIGHT while a session has it, or PARKED while its trader is
paused. So the sets are also the index of the user's lanes.
Atomic with the rest of its script so that a lane that is not empty is in a set, and only there.
]]
-- luacheck: read globals clock LANE_SCORE
local lane = {IN_FLIGHT = LANE_SCORE.IN_FLIGHT, PARKED = LANE_SCORE.PARKED}

local NAME = '^[!-~]+$'       -- user, trader and job IDs are printable ASCII without spaces
local MAX_ID_BYTES = 128

-- Return the name of a lane, and its parts.
function lane.name(user, trader) return user .. ':' .. trader end
function lane.split(name) return string.match(name, '^([^:]*):(.*)$') end

function lane.is_name(text) return #text > 0 and string.match(text, NAME) ~= nil end

function lane.set_of(user, is_bulk) return (is_bulk and KEY.bulk_lanes or KEY.lanes) .. user end

function lane.is_ready(score) return score <= clock.now_ms end
function lane.is_waiting(score) return score < lane.PARKED end

local function flag(is_set) return is_set and 1 or 0 end

-- Return the parts of an entry; nil if it is none.
local function read_entry(entry)
  local priority, joins, run, job_id = string.match(entry, '^([ib])(c?)t?(%d*) ([!-~]+)$')
  if not priority or #job_id > MAX_ID_BYTES then return nil end
  return {entry = entry, job_id = job_id, is_bulk = priority == 'b', is_coalescable = joins == 'c', run = run}
end

local function flags_say(flags, letter) return string.find(flags, letter, 1, true) ~= nil end

local HEAD = '^(%d+) (%d+) (%d+) ([01]) (([ib])(c?)t?(%d*) ([!-~]+))$'
local COUNTS = '^(%d+) (%d+) (%d+) ([01]) (([ib]?)(c?).*)$'   -- of a lane whose head cannot be read

-- Return a lane's head with the lane's counts, nil if the lane is empty. `job_id` is nil if the head cannot be read.
function lane.read(user, trader)
  local stored = redis.call('HGET', KEY.heads .. user, trader)
  if not stored then return nil end
  local changes, interactive, coalescable, is_attempted, entry, priority, joins, run, job_id =
    string.match(stored, HEAD)
  if not changes then
    changes, interactive, coalescable, is_attempted, entry, priority, joins = string.match(stored, COUNTS)
  end
  if job_id and #job_id > MAX_ID_BYTES then job_id = nil end
  return {user = user, trader = trader, name = user .. ':' .. trader, entry = entry or stored, job_id = job_id,
    is_bulk = priority == 'b', is_coalescable = joins == 'c', run = run, changes = tonumber(changes or 1),
    interactive = tonumber(interactive or 1), coalescable = tonumber(coalescable or 0),
    is_attempted = is_attempted == '1'}
end

local function text_of(head)
  return string.format('%d %d %d %d %s', head.changes, head.interactive, head.coalescable, flag(head.is_attempted),
    head.entry)
end

-- Write a head and its counts.
function lane.write(head) redis.call('HSET', KEY.heads .. head.user, head.trader, text_of(head)) end

-- Return the score of a lane, nil if it is in neither set.
function lane.score(head)
  local score = redis.call('ZSCORE', lane.set_of(head.user, head.interactive == 0), head.trader)
  return score and tonumber(score)
end

function lane.set_score(head, score)
  redis.call('ZADD', lane.set_of(head.user, head.interactive == 0), score, head.trader)
end

-- Begin an empty lane with a change, not to be claimed before a time (ms). Return false if it is not empty.
function lane.begin(user, trader, flags, job_id, not_before)
  local is_bulk = flags_say(flags, 'b')
  local text = string.format('1 %d %d 0 %s %s', flag(not is_bulk), flag(flags_say(flags, 'c')), flags, job_id)
  if redis.call('HSETNX', KEY.heads .. user, trader, text) == 0 then return false end
  redis.call('ZADD', lane.set_of(user, is_bulk), not_before, trader)
  return true
end

-- Append a change to a lane that is not empty. Return the score of the lane if that made it an interactive one.
function lane.append(head, flags, job_id)
  local is_bulk = flags_say(flags, 'b')
  local becomes_interactive = head.interactive == 0 and not is_bulk
  local score = becomes_interactive and lane.score(head)
  if becomes_interactive then redis.call('ZREM', lane.set_of(head.user, true), head.trader) end
  redis.call('RPUSH', KEY.rest .. head.name, flags .. ' ' .. job_id)
  head.changes, head.interactive = head.changes + 1, head.interactive + flag(not is_bulk)
  head.coalescable = head.coalescable + flag(flags_say(flags, 'c'))
  lane.write(head)
  if score then lane.set_score(head, score) end
  return score or nil
end

-- Take an entry out of the counts, and the lane out of its set if it changes sets or is empty.
local function count_off(head, removed)
  local was_bulk = head.interactive == 0
  head.changes, head.interactive = head.changes - 1, head.interactive - flag(not removed.is_bulk)
  head.coalescable = head.coalescable - flag(removed.is_coalescable)
  if head.changes == 0 or (head.interactive == 0) ~= was_bulk then
    redis.call('ZREM', lane.set_of(head.user, was_bulk), head.trader)
  end
end

function lane.forget_attempts(head)
  if head.is_attempted then redis.call('DEL', KEY.attempts .. head.name) end
  head.is_attempted = false
end

-- Remove the head. The next change, if there is one, becomes the head: the caller writes it, and sets its score. Return
-- false if the lane is empty now.
function lane.pop(head)
  count_off(head, head)
  local entry = head.changes > 0 and redis.call('LPOP', KEY.rest .. head.name)
  if not entry then
    redis.call('HDEL', KEY.heads .. head.user, head.trader)
    if head.changes > 0 then redis.call('ZREM', lane.set_of(head.user, head.interactive == 0), head.trader) end
    lane.forget_attempts(head)
    head.changes = 0
    return false
  end
  local next_head = read_entry(entry) or {}
  head.entry, head.job_id, head.run = entry, next_head.job_id, next_head.run
  head.is_bulk, head.is_coalescable = next_head.is_bulk, next_head.is_coalescable
  return true
end

-- Remove an entry behind the head, which the caller knows to be there. The head is written.
function lane.remove(head, entry, count)
  local score = lane.score(head)
  redis.call('LREM', KEY.rest .. head.name, count, entry)
  count_off(head, read_entry(entry))
  lane.write(head)
  if score then lane.set_score(head, score) end
end

-- Return up to `count` entries behind the head: those that may be sent with it, up to the first that may not.
function lane.coalescable(head, count)
  local found = {}
  if head.coalescable - flag(head.is_coalescable) == 0 then return found end
  for _, entry in ipairs(redis.call('LRANGE', KEY.rest .. head.name, 0, count - 1)) do
    local behind = read_entry(entry)
    if not behind or not behind.is_coalescable then break end
    found[#found + 1] = behind
  end
  return found
end

return lane
