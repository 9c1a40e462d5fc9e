--[[
egress: the bucket of an egress IP. A part of the scripts that take or give back its slots.

Its slots follow each other by its pace; up to `burst` it may be ahead. All times are microseconds of Redis's clock.
Atomic with the rest of its script so that no slot is given twice.

Fields of the egress: `tat` the slot after the last one, without the burst; `pace`, `user_pace`: what its workers pace
by, for estimates; `since_bulk`: interactive claims since a bulk one; `taken`: how many slots were taken and not given
back, since the egress was last idle for the TTL of its bucket. In a queue with shards, `pace` is the egress's pace
divided by the shard's share of its rate (worker/queue/shares.py).
]]
-- luacheck: read globals clock BUCKET_TTL_MS LOOK_AHEAD
local egress = {}

local REUSABLE_FOR = 1000000        -- us; a slot older than this is of no use to others
local MAX_NAMES = 20                -- egresses that one script looks at

local key, pace, burst, tat         -- set by egress.begin
local paced_by                      -- the pace of the last slot; nil if there was none
local claims_since_bulk, taken, is_new, is_published
local is_changed = false

function egress.begin(name, options)
  key, pace, burst = KEY.egress .. name, options.egress_pace, options.egress_burst
  local stored_tat, since_bulk, stored_taken, stored_pace, user_pace = unpack(
    redis.call('HMGET', key, 'tat', 'since_bulk', 'taken', 'pace', 'user_pace'))
  tat = tonumber(stored_tat or 0)
  claims_since_bulk, taken = tonumber(since_bulk or 0), tonumber(stored_taken or 0)
  is_new = not user_pace
  paced_by = taken > 0 and tonumber(stored_pace or nil)
  is_published = tonumber(stored_pace or 0) == pace and tonumber(user_pace or 0) == options.user_pace
end

-- Return how many interactive claims there were since a bulk one.
function egress.since_bulk() return claims_since_bulk end

-- Count a claim; an interactive one counts only if bulk changes wait.
function egress.count_claim(is_bulk, bulk_waits)
  claims_since_bulk = is_bulk and 0 or claims_since_bulk + (bulk_waits and 1 or 0)
end

-- If the pace is shorter than that of the last slot, let that slot count for this pace only, or for the part of it
-- that is left. The slots before it, which may count for as long as the look-ahead and the burst, are as they were.
function egress.follow_shorter_pace()
  if not paced_by or pace >= paced_by then return end
  local shrunk = clock.now_us + math.ceil((tat - clock.now_us) * pace / paced_by)
  tat = math.max(shrunk, math.min(tat, clock.now_us + LOOK_AHEAD + burst + pace))
  redis.call('HSET', key, 'tat', tat, 'pace', pace)
end

function egress.next_slot() return math.max(clock.now_us, tat - burst) end

-- Return when half of the burst can be taken: at the limit one claim then takes several changes, at a fraction of the
-- cost, and none later than the limit allows. A change that comes meanwhile wakes a worker, and takes a slot at once.
function egress.refilled_at() return egress.next_slot() + math.floor(burst / 2) end

function egress.take(slot)
  tat, taken, is_changed = math.max(tat, slot) + pace, taken + 1, true
end

function egress.give_back(slot)
  taken, is_changed = taken - 1, true
  if slot <= clock.now_us - REUSABLE_FOR then return end
  tat = math.max(tat - pace, math.min(tat, clock.now_us))   -- never further back than now
end

-- Store the pace of a slot that was taken outside of a claim, for the next `follow_shorter_pace`.
function egress.save_pace()
  if paced_by ~= pace then redis.call('HSET', key, 'pace', pace) end
end

-- Keep a key of the egress for at least so long.
function egress.extend_ttl(key_to_keep, ttl_ms)
  if redis.call('PTTL', key_to_keep) < ttl_ms then redis.call('PEXPIRE', key_to_keep, ttl_ms) end
end

-- Write the bucket if it has changed.
function egress.save()
  if not is_changed then return end
  redis.call('HSET', key, 'tat', tat, 'since_bulk', claims_since_bulk, 'taken', taken)
  egress.extend_ttl(key, math.ceil((math.max(tat, clock.now_us) - clock.now_us) / 1000) + BUCKET_TTL_MS)
end

-- Return whether another egress is in use. If so, a user's next request may take another network path. Only some names
-- are looked at, and those that have expired are removed: while there are more, one of them may be in use.
function egress.is_other_in_use()
  local names = redis.call('SRANDMEMBER', KEY.egresses, MAX_NAMES)
  for _, name in ipairs(names) do
    if KEY.egress .. name ~= key then
      if redis.call('EXISTS', KEY.egress .. name) == 1 then return true end
      redis.call('SREM', KEY.egresses, name)
    end
  end
  return #names == MAX_NAMES
end

-- Let an egress that is used for the first time wait for a window (us) if another one is in use: the windows of earlier
-- requests were shortened by what was certain of a round trip on that path (see round_trips.lua). From now on none is.
function egress.await_other_paths(name, user_pace, window)
  if not is_new or not egress.is_other_in_use() then return end
  tat, is_changed = math.max(tat, clock.now_us + window + burst), true
  egress.publish(name, user_pace)
  egress.save()
end

-- Publish what this egress's workers pace by, so that others can estimate.
function egress.publish(name, user_pace)
  if is_published then return end
  redis.call('HSET', key, 'pace', pace, 'user_pace', user_pace)
  redis.call('SADD', KEY.egresses, name)
end

return egress
