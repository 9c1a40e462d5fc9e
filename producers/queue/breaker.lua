--[[
breaker: what the requests of an egress tell of it. A part of the settle script: it stands before the script's own text.

A trouble that several users have in a row, with no good reply to anybody between, is not theirs. "failing" (nobody
answers, or no verdict) and "refused <code>" (of the keys) open the breaker: nothing is claimed but a probe, after a pause
that doubles; sooner if it is of a user that did not have the trouble yet, so that a few who are sick alone do not keep
others waiting. "throttled" holds the egress for its recovery time. Any other reply to the probe closes the breaker. It is
told of a request even when its lane is lost. Atomic with the settlement, so that a run is counted in the order of
settlements, over all workers of the egress.

Fields of the egress: `open` pauses so far, `why` the trouble, `probe at` (us), `fresh at` (us) the
same for users that did not have the trouble yet, `probe` token of the claim that probes.
]]
local breaker = {}

local MANY_FAILING = 3      -- users that fail, and
local FAILURES = 8          -- so many times together: what fails one time in five does not open it
local MANY = 5              -- users throttled, or refused alike
local PAUSE = 1000000       -- us
local LONGEST_PAUSE = 30000000
local LONGEST_FRESH_PAUSE = 2000000
local KEEP_RUN_MS = 60000
local KEEP_OPEN_MS = 660000

local NOTHING, OPENED, CLOSED, HELD = 0, 1, 2, 3

-- Half of the pause is fixed and half drawn (from the clock's last digits), so that egresses do not probe in step.
-- Returns how long the pause may be.
local function open(egress, openings, why, now)
  local longest = math.min(LONGEST_PAUSE, PAUSE * 2 ^ (openings - 1))
  local pause = math.floor(longest * (0.5 + now % 1000 / 2000))
  redis.call('HSET', egress, 'open', openings, 'why', why, 'probe at', now + pause,
    'fresh at', now + math.min(pause, LONGEST_FRESH_PAUSE))
  redis.call('HDEL', egress, 'probe')
  if redis.call('PTTL', egress) < KEEP_OPEN_MS then redis.call('PEXPIRE', egress, KEEP_OPEN_MS) end
  return longest
end

local function ring(bell)
  if redis.call('LLEN', bell) == 0 then redis.call('LPUSH', bell, '1') end
end

-- Counts the users of a trouble, each once. Returns whether they are many by now.
local function count(troubles, trouble, user)
  local users = 'n ' .. trouble
  if redis.call('HSETNX', troubles, trouble .. ' ' .. user, 1) == 1 then redis.call('HINCRBY', troubles, users, 1) end
  redis.call('PEXPIRE', troubles, KEEP_RUN_MS)
  local many = tonumber(redis.call('HGET', troubles, users))
  if trouble ~= 'failing' then return many >= MANY end
  return redis.call('HINCRBY', troubles, 'failures', 1) >= FAILURES and many >= MANY_FAILING
end

-- If it was not the keys, then their users are stopped no longer.
local function acquit(troubles, trouble, refused)
  for _, field in ipairs(redis.call('HKEYS', troubles)) do
    if string.sub(field, 1, #trouble + 1) == trouble .. ' ' then
      redis.pcall('HDEL', refused, string.sub(field, #trouble + 2))
    end
  end
end

-- Told of one request. `one`: egress, troubles, refused, bell (keys); token, user, now (us); trouble ("" for none);
-- unsent; counts (whether its trouble says something of the egress); hold (us, of the egress, when many are throttled).
-- Returns for how long (us) the trouble is the egress's and not the user's, 0 if it is not; and what happened.
function breaker.hear(one)
  local state = redis.call('HMGET', one.egress, 'open', 'why', 'probe')
  local openings, why, is_probe = tonumber(state[1] or 0), state[2], state[3] == one.token
  if one.unsent then
    if is_probe then
      redis.call('HDEL', one.egress, 'probe')
      redis.call('HSET', one.egress, 'probe at', one.now, 'fresh at', one.now)
      ring(one.bell)
    end
    return 0, NOTHING
  end
  if openings > 0 and not is_probe then return one.trouble == why and LONGEST_PAUSE or 0, NOTHING end
  if openings > 0 and (one.trouble == 'failing' or one.trouble == why) then
    redis.call('HSET', one.troubles, why .. ' ' .. one.user, 1)
    redis.call('PEXPIRE', one.troubles, KEEP_OPEN_MS)
    return open(one.egress, openings + 1, why, one.now), NOTHING
  end
  local happened = NOTHING
  if openings > 0 then
    redis.call('HDEL', one.egress, 'open', 'why', 'probe', 'probe at', 'fresh at')
    redis.call('DEL', one.troubles)
    ring(one.bell)
    happened = CLOSED
  end
  if one.trouble == '' then
    redis.call('DEL', one.troubles)
    return 0, happened
  end
  if not one.counts or not count(one.troubles, one.trouble, one.user) then return 0, happened end
  if one.trouble == 'throttled' then
    redis.call('HSET', one.egress, 'hold', one.now + one.hold)
    local keep_ms = math.ceil(one.hold / 1000) + KEEP_OPEN_MS
    if redis.call('PTTL', one.egress) < keep_ms then redis.call('PEXPIRE', one.egress, keep_ms) end
    redis.call('DEL', one.troubles)
    return one.hold, HELD
  end
  acquit(one.troubles, one.trouble, one.refused)
  redis.call('PEXPIRE', one.troubles, KEEP_OPEN_MS)   -- while it is open it tells who is no fresh user
  return open(one.egress, 1, one.trouble, one.now), OPENED
end

return breaker
