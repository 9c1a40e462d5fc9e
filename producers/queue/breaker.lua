--[[
breaker: count the failures of an egress's requests, and open or close its breaker. A part of the settle script.

If several users in a row have the same failure, with no good reply to any user in between, the egress is at fault. The
failure kinds are "failing" (no reply, or none with a verdict), "refused <code>" (of the API keys) and "throttled". Each
of them opens the breaker. Then only one probe is claimed after each pause. What its reply does is in `next_pause`.

An affected user is one that has had the breaker's failure since it began. Other users are probed first: whether they
fail too is what tells a fault of the egress from the trouble of a few users. Requests of lost lanes count too.
Atomic with the settlement so that a run of failures is counted in order, over all workers of the egress.

Fields of the egress: `open` number of pauses so far, `pause` length of the current one without its jitter (us), `why`
failure kind, `probe at` (us) end of the pause, `fresh at` (us) the same for users that are unaffected, `probe` token of
the claim that probes. Fields of the run's failures: `<kind> <user>` 1, or 0 if it does not count; `n <kind>` users that
count; `failures` how many of kind "failing".
]]
-- luacheck: read globals BREAKER_EVENT FAILING THROTTLED
local breaker = {}

local MIN_FAILING_USERS = 3    -- users with "failing" that open the breaker, together with MIN_FAILURES
local MIN_FAILURES = 8         -- failures in a row: an exchange that fails one time in five does not open it
local MIN_USERS = 5            -- users that are throttled, or whose keys are rejected with the same code
local FIRST_PAUSE = 1000000    -- us
local MAX_PAUSE = 30000000     -- the maximum for a throttled egress is a setting
local MAX_UNAFFECTED_PAUSE = 1500000   -- 2 s are promised; the rest is for finding a lane of such a user
local KEEP_RUN_MS = 60000
local KEEP_OPEN_MS = 660000    -- beyond the pause

local function extend_ttl(key, ttl_ms)
  if redis.call('PTTL', key) < ttl_ms then redis.call('PEXPIRE', key, ttl_ms) end
end

local function wake_worker()
  if redis.call('LLEN', KEY.wakeups) == 0 then redis.call('LPUSH', KEY.wakeups, '1') end
end

-- Open the breaker, or keep it open, for another pause (us). Nobody is probed before the pause of a throttled egress
-- ends, since more requests may prolong the exchange's own. Of other pauses half is jitter, from the clock's last
-- digits, so that egresses do not probe at the same time. Wake a worker: those that wait know the old time only.
local function open(request, openings, reason, pause)
  local now = request.now
  local jittered = reason == THROTTLED and pause or math.floor(pause * (0.5 + now % 1000 / 2000))
  local unaffected = reason == THROTTLED and pause or math.min(jittered, MAX_UNAFFECTED_PAUSE)
  redis.call('HSET', request.egress, 'open', openings, 'pause', pause, 'why', reason, 'probe at', now + jittered,
    'fresh at', now + unaffected)
  redis.call('HDEL', request.egress, 'probe')
  local keep_ms = math.ceil(pause / 1000) + KEEP_OPEN_MS
  extend_ttl(request.egress, keep_ms)
  extend_ttl(request.failures, keep_ms)   -- while the breaker is open it lists the users that are affected
  wake_worker()
end

-- Return the pause after a probe with a failure that keeps the breaker open. It is longer only if the failure tells
-- something about the egress. For a throttled egress that is a 429 of a user that was not affected, and what the
-- exchange itself asks for then counts more than doubling.
local function next_pause(request, reason, pause, was_affected)
  if not request.concerns_egress then return pause end
  if reason ~= THROTTLED then return math.min(2 * pause, MAX_PAUSE) end
  if request.failure_kind ~= THROTTLED or was_affected then return pause end
  if request.retry_after > 0 then return math.max(FIRST_PAUSE, request.retry_after) end
  return math.min(2 * pause, request.max_throttled_pause)
end

-- Count a failure, and its user once. Return whether the run is long enough to blame the egress.
local function count(failures, failure_kind, user)
  local affected, user_count = failure_kind .. ' ' .. user, 'n ' .. failure_kind
  if redis.call('HGET', failures, affected) ~= '1' then
    redis.call('HSET', failures, affected, 1)
    redis.call('HINCRBY', failures, user_count, 1)
  end
  redis.call('PEXPIRE', failures, KEEP_RUN_MS)
  local users = tonumber(redis.call('HGET', failures, user_count))
  if failure_kind ~= FAILING then return users >= MIN_USERS end
  return redis.call('HINCRBY', failures, 'failures', 1) >= MIN_FAILURES and users >= MIN_FAILING_USERS
end

-- Remove the rejected-keys marks of the users in the run, since their keys were not at fault.
local function clear_rejected_marks(failures, failure_kind)
  local prefix = failure_kind .. ' '
  for _, field in ipairs(redis.call('HKEYS', failures)) do
    local user = string.sub(field, #prefix + 1)
    if field == prefix .. user then redis.pcall('HDEL', KEY.rejected_keys, user) end
  end
end

-- Add a user to those that are affected, without counting it. Return whether it was one of them already.
local function add_affected(failures, failure_kind, user)
  local is_new = redis.call('HSETNX', failures, failure_kind .. ' ' .. user, 0) == 1
  extend_ttl(failures, KEEP_RUN_MS)
  return not is_new
end

-- Record one request. `request`: the keys egress and failures; token, user, now (us);
-- failure_kind, "" for none; was_sent; concerns_egress: whether the failure may be the egress's; retry_after: what the
-- exchange asked for (us), 0 for nothing; max_throttled_pause (us). Return for how long at most (us) the egress is
-- paused because of such failures, 0 if it is not at fault; and the BREAKER_EVENT.
function breaker.record(request)
  local egress, failures = request.egress, request.failures
  local user, now, failure_kind = request.user, request.now, request.failure_kind
  local openings, reason, pause, probe = unpack(redis.call('HMGET', egress, 'open', 'why', 'pause', 'probe'))
  openings, pause = tonumber(openings or 0), tonumber(pause or FIRST_PAUSE)
  local is_open, is_probe = openings > 0, probe == request.token
  if not request.was_sent then
    if is_probe then
      redis.call('HDEL', egress, 'probe')
      redis.call('HSET', egress, 'probe at', now, 'fresh at', now)
      wake_worker()
    end
    return 0, BREAKER_EVENT.NONE
  end
  if is_open and not is_probe then
    if failure_kind == THROTTLED and reason == THROTTLED then add_affected(failures, THROTTLED, user) end
    return failure_kind == reason and MAX_PAUSE or 0, BREAKER_EVENT.NONE
  end
  if is_open and (failure_kind == FAILING or failure_kind == reason) then
    local is_explained = failure_kind ~= THROTTLED and not request.concerns_egress
    local was_affected = not is_explained and add_affected(failures, reason, user)
    local longer = next_pause(request, reason, pause, was_affected)
    open(request, openings + 1, reason, longer)
    return longer, reason == THROTTLED and longer > pause and BREAKER_EVENT.EGRESS_HELD or BREAKER_EVENT.NONE
  end
  local event = BREAKER_EVENT.NONE
  if is_open then
    redis.call('HDEL', egress, 'open', 'pause', 'why', 'probe', 'probe at', 'fresh at')
    redis.call('DEL', failures)
    wake_worker()
    event = BREAKER_EVENT.CLOSED
  end
  if failure_kind == '' then
    redis.call('DEL', failures)
    return 0, event
  end
  if not request.concerns_egress then
    if failure_kind == THROTTLED then add_affected(failures, THROTTLED, user) end
    return 0, event
  end
  if not count(failures, failure_kind, user) then return 0, event end
  if failure_kind == THROTTLED then
    pause = math.min(FIRST_PAUSE, request.max_throttled_pause)
    open(request, 1, THROTTLED, pause)
    return pause, BREAKER_EVENT.EGRESS_HELD
  end
  if failure_kind ~= FAILING then clear_rejected_marks(failures, failure_kind) end
  open(request, 1, failure_kind, FIRST_PAUSE)
  return FIRST_PAUSE, BREAKER_EVENT.OPENED
end

-- Return until when (us) an open breaker lets nothing of a user through, not even a probe; 0 if it is closed.
function breaker.paused_until(egress, failures, user)
  local openings, reason, probe_at, unaffected_at = unpack(redis.call('HMGET', egress, 'open', 'why', 'probe at',
    'fresh at'))
  if tonumber(openings or 0) == 0 then return 0 end
  local is_affected = redis.call('HEXISTS', failures, (reason or '') .. ' ' .. user) == 1
  return tonumber((is_affected and probe_at or unaffected_at) or 0)
end

return breaker
