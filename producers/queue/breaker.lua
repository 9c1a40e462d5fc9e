--[[
breaker: count the failures of an egress's requests, and open or close its breaker. A part of the settle script.

If several users in a row have the same failure, with no good reply to any user in between, the egress is at fault. The
failure kinds "failing" (no reply, or none with a verdict) and "refused <code>" (of the API keys) open the breaker. Then
only one probe is claimed after each pause, and pauses double. A probe that is "failing", or fails as before, keeps the
breaker open; any other reply closes it. A user without the failure may be probed sooner, so that a few users with bad
keys do not delay the others. "throttled" holds the egress instead. Requests of lost lanes count too.
Atomic with the settlement so that a run of failures is counted in order, over all workers of the egress.

Fields of the egress: `open` number of pauses so far, `why` failure kind, `probe at` (us), `fresh at` (us) the same for
users that are unaffected, `probe` token of the claim that probes.
]]
-- luacheck: read globals BREAKER_EVENT FAILING THROTTLED
local breaker = {}

local MIN_FAILING_USERS = 3    -- users with "failing" that open the breaker, together with MIN_FAILURES
local MIN_FAILURES = 8         -- failures in a row: an exchange that fails one time in five does not open it
local MIN_USERS = 5            -- users that are throttled, or whose keys are rejected with the same code
local PAUSE = 1000000          -- us
local MAX_PAUSE = 30000000
local MAX_UNAFFECTED_PAUSE = 2000000
local KEEP_RUN_MS = 60000
local KEEP_OPEN_MS = 660000

local function extend_ttl(key, ttl_ms)
  if redis.call('PTTL', key) < ttl_ms then redis.call('PEXPIRE', key, ttl_ms) end
end

-- Open the breaker, or keep it open with a longer pause. Half of the pause is fixed; the other half is jitter from the
-- clock's last digits, so that egresses do not probe at the same time. Return the maximum of the pause (us).
local function open(egress, openings, reason, now)
  local longest = math.min(MAX_PAUSE, PAUSE * 2 ^ (openings - 1))
  local pause = math.floor(longest * (0.5 + now % 1000 / 2000))
  redis.call('HSET', egress, 'open', openings, 'why', reason, 'probe at', now + pause,
    'fresh at', now + math.min(pause, MAX_UNAFFECTED_PAUSE))
  redis.call('HDEL', egress, 'probe')
  extend_ttl(egress, KEEP_OPEN_MS)
  return longest
end

local function wake_worker(wakeups)
  if redis.call('LLEN', wakeups) == 0 then redis.call('LPUSH', wakeups, '1') end
end

-- Count a failure, and its user once. Return whether the run is long enough to blame the egress.
local function count(failures, failure_kind, user)
  local user_count = 'n ' .. failure_kind
  if redis.call('HSETNX', failures, failure_kind .. ' ' .. user, 1) == 1 then
    redis.call('HINCRBY', failures, user_count, 1)
  end
  redis.call('PEXPIRE', failures, KEEP_RUN_MS)
  local users = tonumber(redis.call('HGET', failures, user_count))
  if failure_kind ~= FAILING then return users >= MIN_USERS end
  return redis.call('HINCRBY', failures, 'failures', 1) >= MIN_FAILURES and users >= MIN_FAILING_USERS
end

-- Remove the rejected-keys marks of the users in the run, since their keys were not at fault.
local function clear_rejected_marks(failures, failure_kind, rejected_keys)
  local prefix = failure_kind .. ' '
  for _, field in ipairs(redis.call('HKEYS', failures)) do
    local user = string.sub(field, #prefix + 1)
    if field == prefix .. user then redis.pcall('HDEL', rejected_keys, user) end
  end
end

-- Record one request. `request`: the keys egress, failures, rejected_keys and wakeups; token, user, now (us);
-- failure_kind, "" for none; was_sent; concerns_egress: whether the failure says something about the egress; hold: how
-- long (us) to hold the egress if many users are throttled. Return for how long at most (us) the egress is
-- held or paused because of such failures, 0 if it is not at fault; and the BREAKER_EVENT.
function breaker.record(request)
  local egress, failures, wakeups = request.egress, request.failures, request.wakeups
  local user, now, failure_kind = request.user, request.now, request.failure_kind
  local openings, reason, probe = unpack(redis.call('HMGET', egress, 'open', 'why', 'probe'))
  openings = tonumber(openings or 0)
  local is_open, is_probe = openings > 0, probe == request.token
  if not request.was_sent then
    if is_probe then
      redis.call('HDEL', egress, 'probe')
      redis.call('HSET', egress, 'probe at', now, 'fresh at', now)
      wake_worker(wakeups)
    end
    return 0, BREAKER_EVENT.NONE
  end
  if is_open and not is_probe then return failure_kind == reason and MAX_PAUSE or 0, BREAKER_EVENT.NONE end
  if is_open and (failure_kind == FAILING or failure_kind == reason) then
    redis.call('HSET', failures, reason .. ' ' .. user, 1)
    redis.call('PEXPIRE', failures, KEEP_OPEN_MS)
    return open(egress, openings + 1, reason, now), BREAKER_EVENT.NONE
  end
  local event = BREAKER_EVENT.NONE
  if is_open then
    redis.call('HDEL', egress, 'open', 'why', 'probe', 'probe at', 'fresh at')
    redis.call('DEL', failures)
    wake_worker(wakeups)
    event = BREAKER_EVENT.CLOSED
  end
  if failure_kind == '' then
    redis.call('DEL', failures)
    return 0, event
  end
  if not request.concerns_egress or not count(failures, failure_kind, user) then return 0, event end
  if failure_kind == THROTTLED then
    redis.call('HSET', egress, 'hold', now + request.hold)
    extend_ttl(egress, math.ceil(request.hold / 1000) + KEEP_OPEN_MS)
    redis.call('DEL', failures)
    return request.hold, BREAKER_EVENT.EGRESS_HELD
  end
  clear_rejected_marks(failures, failure_kind, request.rejected_keys)
  redis.call('PEXPIRE', failures, KEEP_OPEN_MS)   -- while the breaker is open it lists the users that are affected
  return open(egress, 1, failure_kind, now), BREAKER_EVENT.OPENED
end

return breaker
