--[[
cancel: remove changes that have not been sent from their lanes.

A head that is in flight is not cancelled. A change behind it is, also one that was offered to be sent with it: if it
was, it may have been applied all the same.
To remove an entry from the middle of a deep lane takes long, so a run stops after SEARCH_LIMIT entries were searched;
the remaining changes get the verdict NOT_REACHED, and are cancelled by another run.
Atomic so that a change is either cancelled or in flight, and a lane that is not empty stays covered.

ARGV  1 the request, see CancelRequest in cancel_messages.py   2 and on: histories and results
Reply a VERDICT for each change
]]
-- luacheck: read globals clock bucket lane schedule finish input VERDICT MAX_COALESCED
local NEAR_END = 500            -- entries that are searched from either end of a lane first
local SEARCH_LIMIT = 50000      -- entries that one run searches: some 2 ms
local BOUNDARIES = {'alone_until', 'sent_until'}   -- fields of `attempts:<lane>` that name a change of the lane

finish.begin(input.result_ttl_ms, 0)
local searched = 0
local touched = {}              -- users whose lanes changed
local woken = false

local function bytes(number) return number > 0 and ARGV[number + 1] or '' end

-- Return the entry of a change behind the head, and from which end LREM finds it: 1 or -1; nil if it is not there.
local function find(head, candidates)
  local rest = KEY.rest .. head.name
  for _, entry in ipairs(candidates) do
    searched = searched + math.min(2 * NEAR_END, head.changes)
    if redis.call('LPOS', rest, entry, 'MAXLEN', NEAR_END) then return entry, 1 end
    if redis.call('LPOS', rest, entry, 'RANK', -1, 'MAXLEN', NEAR_END) then return entry, -1 end
    if head.changes > 2 * NEAR_END then
      searched = searched + head.changes
      if redis.call('LPOS', rest, entry) then return entry, 1 end
    end
  end
end

-- Return the job ID of the change before an entry behind the head.
local function job_id_before(head, entry)
  local position = redis.call('LPOS', KEY.rest .. head.name, entry)
  local before = position > 0 and redis.call('LINDEX', KEY.rest .. head.name, position - 1)
  return before and string.match(before, '%S+$') or head.job_id
end

-- If a change that is to be removed is the last one that is sent alone, or that was sent with the head, the change
-- before it is so instead. A group of which a change is removed cannot be repeated as it was sent.
local function update_group(head, job_id, entry)
  if not head.is_attempted then return end
  local attempts, before = KEY.attempts .. head.name, nil
  local boundaries = redis.call('HMGET', attempts, unpack(BOUNDARIES))
  for i, boundary in ipairs(boundaries) do
    if boundary == job_id then
      before = before or job_id_before(head, entry)
      redis.call('HSET', attempts, BOUNDARIES[i], before)
    end
  end
  local may_be_in_group = boundaries[2] and redis.call('LPOS', KEY.rest .. head.name, entry, 'MAXLEN', MAX_COALESCED)
  if may_be_in_group then redis.call('HSET', attempts, 'is_torn', 1) end
end

-- Remove a head that waits. What the changes behind it need of its attempts stays; its back-off and its lost deliveries
-- were its own.
local function remove_head(head, late_until)
  local attempts = KEY.attempts .. head.name
  local removed = head.job_id
  if not lane.pop(head) then return end
  if head.is_attempted then
    redis.call('HDEL', attempts, 'lost_deliveries')
    for i, boundary in ipairs(redis.call('HMGET', attempts, unpack(BOUNDARIES))) do
      if boundary == removed then redis.call('HDEL', attempts, BOUNDARIES[i]) end
    end
    if head.coalescable == 0 then lane.forget_attempts(head) end
  end
  lane.write(head)
  lane.set_score(head, math.max(clock.now_ms, math.ceil(late_until / 1000)))
  woken = true
end

local function cancel(change)
  local user, trader = lane.split(change.lane)
  local head = lane.read(user, trader)
  if not head then return VERDICT.ENDED end
  local score, was_bulk = lane.score(head), head.interactive == 0
  if head.job_id == change.job_id then
    if score == lane.IN_FLIGHT then return VERDICT.IN_FLIGHT end
    local history = head.is_attempted and redis.call('HGET', KEY.attempts .. head.name, 'history') or ''
    if history ~= bytes(change.history) then return VERDICT.HISTORY_CHANGED end
    if score == lane.PARKED then redis.call('SREM', KEY.parked .. trader, user) end
    remove_head(head, bucket.late_until(bucket.of(user), trader))
  else
    if searched > SEARCH_LIMIT then return VERDICT.NOT_REACHED end
    local entry, direction = find(head, change.entries)
    if not entry then return VERDICT.ENDED end
    update_group(head, change.job_id, entry)
    lane.remove(head, entry, direction)
  end
  if touched[user] == nil then touched[user] = was_bulk
  elseif touched[user] ~= was_bulk then touched[user] = 'both' end
  if was_bulk ~= (head.interactive == 0) then touched[user] = 'both' end
  finish.change(change.job_id, change.lane, 'cancelled', bytes(change.result))
  return VERDICT.CANCELLED
end

local users = {}
for i, change in ipairs(input.changes) do users[i] = lane.split(change.lane) end
bucket.read(users)
local reply = {}
for i, change in ipairs(input.changes) do reply[i] = cancel(change) end
for user, is_bulk in pairs(touched) do
  if is_bulk == 'both' then schedule.update(user) else schedule.update(user, is_bulk) end
end
finish.save()
schedule.save()
bucket.save()
if woken then schedule.wake_workers() end
return reply
