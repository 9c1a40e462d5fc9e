--[[
turns: whose turn it is: users by due time, and the lanes of a user in turn. A part of the claim script.

Atomic with the claim so that no user and no lane is passed over.
]]
-- luacheck: read globals clock bucket lane schedule BULK_SHARE
local turns = {}

local MAX_LANES_TRIED = 20    -- of one user in one claim; others are parked or removed by the next

local paused, on_malformed    -- set by turns.begin
local is_pinned_due = false   -- whether a user that is pinned to the egress was found due

-- `is_paused`: returns whether a scope is paused; `add_malformed`: reports a name and what was done about it.
function turns.begin(is_paused, add_malformed) paused, on_malformed = is_paused, add_malformed end

-- Return the first due users of a priority by due time: pinned to this egress, and others.
function turns.due_users(is_bulk, egress_name, count)
  local found = {}
  for place, key in ipairs(schedule.keys_of(is_bulk, egress_name)) do
    local entries = redis.call('ZRANGEBYSCORE', key, '-inf', clock.now_ms, 'WITHSCORES', 'LIMIT', 0, count)
    local is_first = #found == 0
    is_pinned_due = is_pinned_due or (place == 2 and #entries > 0)
    for i = 1, #entries, 2 do
      found[#found + 1] = {user = entries[i], score = tonumber(entries[i + 1]), is_bulk = is_bulk}
    end
    if not is_first and #entries > 0 then
      table.sort(found, function(left, right) return left.score < right.score end)
    end
  end
  return found
end

-- Wake a worker that goes on with the due users.
function turns.wake_next(egress_name)
  schedule.wake_worker()
  if is_pinned_due then schedule.wake_egress(egress_name) end
end

-- Return the us until the first user is due, -1 if none is scheduled.
function turns.earliest_due_us(egress_name)
  local earliest = math.huge
  for _, is_bulk in ipairs({false, true}) do
    for _, key in ipairs(schedule.keys_of(is_bulk, egress_name)) do
      local _, score = unpack(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES'))
      if score then earliest = math.min(earliest, tonumber(score)) end
    end
  end
  return earliest < math.huge and math.max(0, math.floor(earliest * 1000 - clock.now_us)) or -1
end

-- Return the first lanes of a user's set, each {trader, score}.
local function first_lanes(user, is_bulk, count)
  local found, entries = {}, redis.call('ZRANGE', lane.set_of(user, is_bulk), 0, count - 1, 'WITHSCORES')
  for i = 1, #entries, 2 do found[#found + 1] = {trader = entries[i], score = tonumber(entries[i + 1])} end
  return found
end

local function park(user, is_bulk, trader)
  redis.call('ZADD', lane.set_of(user, is_bulk), lane.PARKED, trader)
  redis.call('SADD', KEY.parked .. trader, user)
end

-- Return the head of a lane that may be claimed; nil if the lane was parked or removed instead.
local function usable_head(user, is_bulk, trader)
  local head = lane.is_name(trader) and lane.read(user, trader)
  if not head then
    redis.call('ZREM', lane.set_of(user, is_bulk), trader)
    if not lane.is_name(trader) then on_malformed(lane.name(user, trader), 'not a lane name: removed') end
    return nil
  end
  if paused('trader:' .. trader) then
    park(user, is_bulk, trader)
    return nil
  end
  if head.job_id then return head end
  local score = lane.score(head)
  if lane.pop(head) then
    lane.write(head)
    lane.set_score(head, score or clock.now_ms)
  end
  on_malformed(head.name, 'its head is not a job ID: removed')
  return nil
end

-- Return the head of the user's lane whose turn it is; and when the lane after it is ready (ms), nil for none.
function turns.next_head(user, is_bulk)
  for _ = 1, MAX_LANES_TRIED do
    local first, second = unpack(first_lanes(user, is_bulk, 2))
    if not first or not lane.is_ready(first.score) then return nil, first and first.score end
    local head = usable_head(user, is_bulk, first.trader)
    if head then return head, second and second.score end
  end
  return nil, clock.now_ms
end

-- Return whether a user's bulk lanes have a turn although an interactive lane is due.
function turns.is_bulk_turn(found, user)
  if found.since_bulk < BULK_SHARE - 1 then return false end
  local first = unpack(first_lanes(user, true, 1))
  if first and lane.is_ready(first.score) then return true end
  bucket.set_since_bulk(found, 0)   -- no bulk waits: look again after as many
  return false
end

return turns
