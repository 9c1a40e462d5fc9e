--[[
migrate: move lanes and batches of layout 1 to this one, a chunk at a time.

In layout 1 a lane was the list `lane:<lane>` and the hash `head:<lane>`, in one of two schedules of lanes; a bucket was
a hash; fields had blanks. A lane is moved with its history, its lost deliveries and its back-off. One that was in
flight is due at once, with one more lost delivery. A user that had a bucket waits HOLD, in which all that the exchange
may still count becomes old; what it knew of slowdowns is forgotten.
Atomic so that a lane is in one layout or the other. No worker and no producer may run meanwhile.

ARGV  1 the request, see MigrateRequest in migration.py
Reply the number of changes that were moved
]]
-- luacheck: read globals clock bucket lane schedule input BULK_BYTES COALESCE_BYTES BUCKET_SUFFIX
local HOLD = 2000000       -- us: the window of a user's limit, and as much for the way
local LATE_FOR = 7000000   -- us after its lease within which a request of a lost lane may still be applied
local FIELDS = {created = 'created_at', started = 'started_at', sealed = 'sealed_at', cancelled = 'cancelled_at',
  complete = 'completed_at', ended = 'finished', short = 'lane_full_count', ['end'] = 'end_entry',
  ['deepest lane'] = 'deepest_lane', ['in flight'] = false}

local users = {}

local function flags_of(job_id)
  local payload = redis.pcall('GET', KEY.job .. job_id)
  if type(payload) ~= 'string' then return 'i' end
  local is_bulk = string.find(payload, BULK_BYTES, 1, true)
  return (is_bulk and 'b' or 'i') .. (string.find(payload, COALESCE_BYTES, 1, true) and 'c' or '')
end

-- Give a user the holds of its old bucket.
local function move_bucket(user)
  if users[user] then return end
  users[user] = true
  local key, found = KEY.old_bucket .. user .. BUCKET_SUFFIX, bucket.of(user)
  if redis.call('TYPE', key).ok ~= 'hash' then return end
  local fields = redis.call('HGETALL', key)
  bucket.hold(found, clock.now_us + HOLD)
  for i = 1, #fields, 2 do
    local value = tonumber(fields[i + 1]) or 0
    if fields[i] == 'hold' then bucket.hold(found, value) end
    local trader = string.match(fields[i], '^late (.*)$')
    if trader and value > clock.now_us then bucket.set_late(found, trader, value) end
  end
  redis.call('DEL', key)
end

local function move_attempts(name, old, token)
  local history, lapses, alone_until = unpack(redis.call('HMGET', old, 'state', 'lapses', 'solo'))
  local lost = (tonumber(lapses or 0) or 0) + (token and 1 or 0)
  local attempts = KEY.attempts .. name
  if history then redis.call('HSET', attempts, 'history', history) end
  if alone_until then redis.call('HSET', attempts, 'alone_until', alone_until) end
  if lost > 0 then redis.call('HSET', attempts, 'lost_deliveries', lost) end
  return redis.call('EXISTS', attempts) == 1
end

local function score_of(name)
  local score = redis.call('ZSCORE', KEY.old_schedule, name) or redis.call('ZSCORE', KEY.old_bulk_schedule, name)
  return math.max(1, math.floor(tonumber(score or clock.now_ms)))
end

-- Move a lane, or `count` changes of it: the rest stays. Return how many. If the lane has been used in this layout
-- already, they follow what is there.
local function move_lane(name, count)
  local user, trader = lane.split(name)
  local list, old = KEY.old_lane .. name, KEY.old_head .. name
  local job_ids = redis.call('LRANGE', list, 0, count - 1)
  local token, lease = unpack(redis.call('HMGET', old, 'token', 'lease'))
  local score = token and clock.now_ms or score_of(name)
  move_bucket(user)
  if token then bucket.set_late(bucket.of(user), trader, (tonumber(lease) or clock.now_ms) * 1000 + LATE_FOR) end
  for _, job_id in ipairs(job_ids) do
    local flags = flags_of(job_id)
    if lane.begin(user, trader, flags, job_id, score) then
      local head = lane.read(user, trader)
      if move_attempts(name, old, token) then
        head.is_attempted = true
        lane.write(head)
      end
    else
      lane.append(lane.read(user, trader), flags, job_id)
    end
  end
  redis.call('DEL', old)
  redis.call('LTRIM', list, #job_ids, -1)
  if redis.call('EXISTS', list) == 0 then
    for _, key in ipairs({KEY.old_schedule, KEY.old_bulk_schedule, KEY.old_lanes}) do redis.call('ZREM', key, name) end
  end
  return #job_ids
end

local function move_batch(id)
  local key = KEY.batch .. id
  if redis.call('TYPE', key).ok ~= 'hash' then return end
  local stored = redis.call('HGETALL', key)
  for i = 1, #stored, 2 do
    local field, value = stored[i], stored[i + 1]
    local outcome = string.match(field, '^o:(.*)$')
    local moved = outcome and 'outcome_' .. outcome or FIELDS[field]
    if moved then redis.call('HSET', key, moved, value) end
    if moved ~= nil then redis.call('HDEL', key, field) end
  end
end

local changes = 0
for _, name in ipairs(input.lanes) do
  if changes < input.max_changes then changes = changes + move_lane(name, input.max_changes - changes) end
end
for user in pairs(users) do schedule.update(user) end
for _, id in ipairs(input.batches) do move_batch(id) end
if input.ends == 1 then
  local marks = KEY.old_rejected_keys
  if redis.call('EXISTS', marks) == 1 then redis.call('RENAME', marks, KEY.rejected_keys) end
  redis.call('DEL', KEY.old_wakeups)
  for _, name in ipairs(redis.call('SMEMBERS', KEY.egresses)) do redis.call('DEL', KEY.egress .. name) end
  redis.call('SET', KEY.layout, input.layout)
end
schedule.save()
bucket.save()
return changes
