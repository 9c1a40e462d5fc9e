--[[
breaker: count the failures of an egress's requests, and open or close its breaker. A part of claim and settle.

If several users in a row have the same failure, with no good reply to any user in between, the egress is at fault. The
failure kinds are "failing" (no reply, or none with a verdict), "refused <code>" (of the API keys) and "throttled". Each
of them opens the breaker. Then only one probe is claimed after each pause. What its reply does is in `next_pause`.

An affected user is one that has had the breaker's failure since it began. Other users are probed first: whether they
fail too is what tells a fault of the egress from the trouble of a few users. Requests of lost lanes count too.
Atomic with the settlement so that a run of failures is counted in order, over all workers of the egress.

Fields of the egress: `openings` number of pauses so far, `pause` length of the current one without its jitter (us),
`reason` failure kind, `probe_at` (us) end of the pause, `probe_unaffected_at` (us) the same for users that are
unaffected, `probe` token of the claim that probes. Fields of the run's failures: `<kind> <user>` 1, or 0 if it does not
count; `users <kind>` users that count; `failures` how many of kind "failing".
]]
-- luacheck: read globals clock egress schedule BREAKER_EVENT FAILING THROTTLED
local breaker = {}

local MIN_FAILING_USERS = 3    -- users with "failing" that open the breaker, together with MIN_FAILURES
local MIN_FAILURES = 8         -- failures in a row: an exchange that fails one time in five does not open it
local MIN_USERS = 5            -- users that are throttled, or whose keys are rejected with the same code
local FIRST_PAUSE = 1000000    -- us
local MAX_PAUSE = 30000000     -- the maximum for a throttled egress is a setting
local MAX_UNAFFECTED_PAUSE = 1500000   -- 2 s are promised; the rest is for finding a lane of such a user
local KEEP_RUN_MS = 60000
local KEEP_OPEN_MS = 660000    -- beyond the pause
local FIELDS = {'openings', 'pause', 'reason', 'probe', 'probe_at', 'probe_unaffected_at'}

local now = clock.now_us
local name, key, failures, max_throttled_pause   -- set by breaker.begin
local state                                -- the fields while the breaker is open
local has_failures                         -- whether a run of failures is known

-- Read the breaker of an egress. `throttled_pause`: the longest pause of a throttled egress (us).
function breaker.begin(egress_name, throttled_pause)
  name, key, failures = egress_name, KEY.egress .. egress_name, KEY.failures .. egress_name
  max_throttled_pause = throttled_pause
  local openings, pause, reason, probe, probe_at, unaffected_at = unpack(redis.call('HMGET', key, unpack(FIELDS)))
  breaker.is_open, breaker.reason = tonumber(openings or 0) > 0, reason or ''
  state = {openings = tonumber(openings or 0), pause = tonumber(pause or FIRST_PAUSE), probe = probe,
    probe_at = tonumber(probe_at or 0), probe_unaffected_at = tonumber(unaffected_at or 0)}
  has_failures = redis.call('EXISTS', failures) == 1
end

-- Return when a user may be probed (us): an affected one, or another one.
function breaker.probe_at() return state.probe_at end
function breaker.probe_unaffected_at() return state.probe_unaffected_at end

-- Return whether a user has had the breaker's failure.
function breaker.is_affected(user)
  return has_failures and redis.call('HEXISTS', failures, breaker.reason .. ' ' .. user) == 1
end

-- Return whether requests of other users than this one fail too, and no good reply has come since.
function breaker.others_fail(user)
  if not has_failures then return false end
  local users = tonumber(redis.call('HGET', failures, 'users ' .. FAILING) or 0)
  return users > 0 and users > redis.call('HEXISTS', failures, FAILING .. ' ' .. user)
end

local function write_probe(at, unaffected_at)
  state.probe_at, state.probe_unaffected_at = at, unaffected_at
  redis.call('HSET', key, 'probe_at', at, 'probe_unaffected_at', unaffected_at)
end

-- Record that a claim probes. If it is never settled, the next probe is due at a time (us).
function breaker.probe(token, next_at)
  state.probe = token
  redis.call('HSET', key, 'probe', token)
  write_probe(next_at, next_at)
end

-- Let another probe go at once, in place of one that was not sent.
function breaker.forget_probe(token)
  if state.probe ~= token then return end
  state.probe = nil
  redis.call('HDEL', key, 'probe')
  write_probe(now, now)
  schedule.wake_egress(name)
end

-- Open the breaker, or keep it open, for another pause (us). Nobody is probed before the pause of a throttled egress
-- ends, since more requests may prolong the exchange's own. Of other pauses half is jitter, from the clock's last
-- digits, so that egresses do not probe at the same time. Wake a worker: those that wait know the old time only.
local function open(openings, reason, pause)
  local jittered = reason == THROTTLED and pause or math.floor(pause * (0.5 + now % 1000 / 2000))
  local unaffected = reason == THROTTLED and pause or math.min(jittered, MAX_UNAFFECTED_PAUSE)
  state.openings, state.pause, state.probe, breaker.is_open, breaker.reason = openings, pause, nil, true, reason
  redis.call('HSET', key, 'openings', openings, 'pause', pause, 'reason', reason)
  redis.call('HDEL', key, 'probe')
  write_probe(now + jittered, now + unaffected)
  local keep_ms = math.ceil(pause / 1000) + KEEP_OPEN_MS
  egress.extend_ttl(key, keep_ms)
  egress.extend_ttl(failures, keep_ms)   -- while the breaker is open it lists the users that are affected
  schedule.wake_egress(name)
end

local function close()
  redis.call('HDEL', key, unpack(FIELDS))
  state = {openings = 0, pause = FIRST_PAUSE, probe_at = 0, probe_unaffected_at = 0}
  breaker.is_open, breaker.reason = false, ''
  schedule.wake_egress(name)
end

local function forget_failures()
  if has_failures then redis.call('DEL', failures) end
  has_failures = false
end

-- Return the pause after a probe with a failure that keeps the breaker open. It is longer only if the failure tells
-- something about the egress. For a throttled egress that is a 429 of a user that was not affected, and what the
-- exchange itself asks for then counts more than doubling.
local function next_pause(request, was_affected)
  local pause = state.pause
  if not request.concerns_egress then return pause end
  if breaker.reason ~= THROTTLED then return math.min(2 * pause, MAX_PAUSE) end
  if request.failure_kind ~= THROTTLED or was_affected then return pause end
  if request.retry_after > 0 then return math.max(FIRST_PAUSE, request.retry_after) end
  return math.min(2 * pause, max_throttled_pause)
end

-- Count a failure, and its user once. Return whether the run is long enough to blame the egress. A failure that is the
-- egress's for sure, such as of its proxy, needs no other users.
local function count(failure_kind, user, is_egress_fault)
  local affected, user_count = failure_kind .. ' ' .. user, 'users ' .. failure_kind
  has_failures = true
  if redis.call('HGET', failures, affected) ~= '1' then
    redis.call('HSET', failures, affected, 1)
    redis.call('HINCRBY', failures, user_count, 1)
  end
  redis.call('PEXPIRE', failures, KEEP_RUN_MS)
  local users = tonumber(redis.call('HGET', failures, user_count))
  if failure_kind ~= FAILING then return users >= MIN_USERS end
  local is_egress = is_egress_fault or users >= MIN_FAILING_USERS
  return redis.call('HINCRBY', failures, 'failures', 1) >= MIN_FAILURES and is_egress
end

-- Remove the rejected-keys marks of the users in the run, since their keys were not at fault.
local function clear_rejected_marks(failure_kind)
  local prefix = failure_kind .. ' '
  for _, field in ipairs(redis.call('HKEYS', failures)) do
    local user = string.sub(field, #prefix + 1)
    if field == prefix .. user then redis.pcall('HDEL', KEY.rejected_keys, user) end
  end
end

-- Add a user to those that are affected, without counting it. Return whether it was one of them already.
local function add_affected(failure_kind, user)
  has_failures = true
  local is_new = redis.call('HSETNX', failures, failure_kind .. ' ' .. user, 0) == 1
  egress.extend_ttl(failures, KEEP_RUN_MS)
  return not is_new
end

-- Record one request that was sent. `request`: token, user, failure_kind, "" for none; concerns_egress: whether the
-- failure may be the egress's; is_egress_fault: whether it is for sure; retry_after: us that the exchange asked for, or
-- 0. Return for how long (us) the egress is paused at most because of such failures, 0 if it is not at fault; and the
-- BREAKER_EVENT.
function breaker.record(request)
  local user, failure_kind = request.user, request.failure_kind
  local is_probe = state.probe == request.token
  if breaker.is_open and not is_probe then
    if failure_kind == THROTTLED and breaker.reason == THROTTLED then add_affected(THROTTLED, user) end
    return failure_kind == breaker.reason and MAX_PAUSE or 0, BREAKER_EVENT.NONE
  end
  if breaker.is_open and (failure_kind == FAILING or failure_kind == breaker.reason) then
    local is_explained = failure_kind ~= THROTTLED and not request.concerns_egress
    local was_affected = not is_explained and add_affected(breaker.reason, user)
    local pause = state.pause
    local longer = next_pause(request, was_affected)
    open(state.openings + 1, breaker.reason, longer)
    local is_held = breaker.reason == THROTTLED and longer > pause
    return longer, is_held and BREAKER_EVENT.EGRESS_HELD or BREAKER_EVENT.NONE
  end
  local event = BREAKER_EVENT.NONE
  if breaker.is_open then
    close()
    forget_failures()
    event = BREAKER_EVENT.CLOSED
  end
  if failure_kind == '' then
    forget_failures()
    return 0, event
  end
  if not request.concerns_egress then
    if failure_kind == THROTTLED then add_affected(THROTTLED, user) end
    return 0, event
  end
  if not count(failure_kind, user, request.is_egress_fault) then return 0, event end
  if failure_kind == THROTTLED then
    local pause = math.min(FIRST_PAUSE, max_throttled_pause)
    open(1, THROTTLED, pause)
    return pause, BREAKER_EVENT.EGRESS_HELD
  end
  if failure_kind ~= FAILING then clear_rejected_marks(failure_kind) end
  open(1, failure_kind, FIRST_PAUSE)
  return FIRST_PAUSE, BREAKER_EVENT.OPENED
end

-- Return until when (us) an open breaker lets nothing of a user through, not even a probe; 0 if it is closed.
function breaker.paused_until(user)
  if not breaker.is_open then return 0 end
  return breaker.is_affected(user) and state.probe_at or state.probe_unaffected_at
end

return breaker
