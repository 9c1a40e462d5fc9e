--[[
progress: read the counters of a batch, and estimate when its changes will have finished.

The estimate is the latest of these times: when the lane that was deepest has drained at its user's pace; when the one
that was put back for the longest has its turn; when all changes have been sent at the pace of the egresses in use. None
starts before the holds end, nor a lane before the users that are due before its own, and its user's lanes that are
before it, had their turns. It is too early if there are retries to come, or slower lanes that are not looked at, and
too late if many changes end without a request.
A throttled egress is expected to send after its pause; one whose breaker is open for another reason, or that is paused,
sends nothing. A batch with a change that is paused has no end, as far as up to MAX_PAUSES pauses tell; nor has one
whose deepest lane, or the lane that was put back last, is of a user that is pinned to an egress that does not send.
Nor has one that is cancelled: what is left of it ends when it is cancelled or claimed, without a request.
Writes nothing. Atomic so that all counters are of the same moment. It looks at a few lanes, whatever the batch's size.

ARGV  1 the request, see ProgressRequest in progress.py
Reply {estimate (ms from now; -1 if nothing will end it), the job ID of the change that it waits for, "" if that is not
      known, then the value of each field, "" if it is not set}
]]
-- luacheck: read globals clock bucket lane input THROTTLED BATCH_MARK
local MAX_PAUSES = 100          -- pauses, and lanes of a paused user, that are looked at
local SCANNED_MEMBERS = 20      -- changes of a batch of a paused trader among which one that waits is looked for
local batch, members = KEY.batch .. input.batch_id, KEY.batch_members .. input.batch_id
local prefix = input.batch_id .. BATCH_MARK
local now_us = clock.now_us
local waits_for = ''            -- the job ID of the change that the batch waits for

-- Return a stored number, or `default` if it is absent, not a number, or not finite.
local function number(value, default)
  local found = tonumber(value or nil)
  return found and found == found and math.abs(found) < math.huge and found or default
end

local function is_paused(scope)
  return redis.call('HEXISTS', KEY.paused, scope) == 1
end

-- Return of the egresses that send: total rate (changes per us), slowest pace of a user (us), end of the first hold,
-- and their names.
local function sending_egresses()
  local changes_per_us, slowest_user_pace, hold_until, sends = 0, 0, math.huge, {}
  for _, name in ipairs(redis.call('SMEMBERS', KEY.egresses)) do
    local pace, user_pace, open_reason, probe_at =
      unpack(redis.call('HMGET', KEY.egress .. name, 'pace', 'user_pace', 'reason', 'probe_at'))
    pace = number(pace, 0)
    local may_send = (not open_reason or open_reason == THROTTLED) and not is_paused('egress:' .. name)
    if pace > 0 and may_send then
      sends[name] = true
      changes_per_us = changes_per_us + 1 / pace
      slowest_user_pace = math.max(slowest_user_pace, number(user_pace, 0))
      hold_until = math.min(hold_until, number(probe_at, 0))
    end
  end
  return changes_per_us, slowest_user_pace, hold_until, sends
end

-- Return the job ID of a user's change of this batch, whose template is of a trader; nil if it does not wait.
local function change_of(user, trader)
  local waits = redis.call('SISMEMBER', members, user) == 1 and redis.call('HEXISTS', KEY.heads .. user, trader) == 1
    and redis.call('EXISTS', KEY.result .. prefix .. user) == 0
  return waits and prefix .. user or nil
end

-- Return the job ID of a change that waits, of the first of this batch that are looked at; nil if none of them does.
local function any_change(trader)
  local _, users = unpack(redis.call('SSCAN', members, 0, 'COUNT', SCANNED_MEMBERS))
  for i = 1, math.min(#users, SCANNED_MEMBERS) do
    local job_id = change_of(users[i], trader)
    if job_id then return job_id end
  end
end

-- Return the job ID of this batch's change for a paused user; nil if none of it waits, as far as is seen. A change of a
-- template, whose trader is given, is named by its user; of others, those at the heads of lanes are seen.
local function paused_change_of(user, trader)
  if trader then return change_of(user, trader) end
  local heads = KEY.heads .. user
  if redis.call('HLEN', heads) > MAX_PAUSES then return nil end
  for _, head in ipairs(redis.call('HVALS', heads)) do
    if string.find(head, ' ' .. prefix, 1, true) then return string.match(head, '%S+$') end
  end
end

-- Return the job ID of a change of this batch that waits for a paused user; nil if none is seen.
local function paused_user_change(trader)
  if redis.call('HLEN', KEY.paused) > MAX_PAUSES then return nil end
  for _, scope in ipairs(redis.call('HKEYS', KEY.paused)) do
    local user = string.match(scope, '^user:(.*)$')
    local job_id = user and paused_change_of(user, trader)
    if job_id then return job_id end
  end
end

-- Return the head of a lane; nil if there is no such lane, or its head is not the given change.
local function head_of(name, job_id)
  local user, trader = lane.split(name or '')
  local head = user and lane.read(user, trader)
  return head and (not job_id or head.job_id == job_id) and head or nil
end

-- Return how many users are due before the one of a lane, as far as those of its own schedule tell.
local function users_before(head)
  local schedule, egress_name = KEY.schedule, redis.call('HGET', KEY.pins, head.user)
  if head.interactive == 0 then schedule = KEY.bulk_schedule end
  if egress_name then schedule = schedule .. ':' .. egress_name end
  local score = redis.call('ZSCORE', schedule, head.user)
  return score and redis.call('ZCOUNT', schedule, '-inf', '(' .. score) or 0
end

-- Return the us until a lane's first changes have been sent at its user's pace, after those before it.
local function drained_us(head, changes, held_us, changes_per_us, worker_pace)
  local found, score = bucket.of(head.user), lane.score(head)
  local rate = number(redis.call('HGET', KEY.rates, head.user), 0)
  local pace = rate > 0 and 1000000 / rate or (found.pace > 0 and found.pace or worker_pace)
  local ready_us = score and lane.is_waiting(score) and score * 1000 - now_us or 0
  local lanes_before = score and lane.is_waiting(score)
    and redis.call('ZRANK', lane.set_of(head.user, head.interactive == 0), head.trader) or 0
  local egress_turn_us = held_us + users_before(head) / changes_per_us
  local user_turn_us = math.max(0, found.hold - now_us) + lanes_before * pace
  return math.max(egress_turn_us, user_turn_us, ready_us) + changes * pace
end

local function eta_us()
  local total, finished, complete, cancelled, deepest, deepest_lane, put_back_lane, put_back_job, template =
    unpack(redis.call('HMGET', batch, 'total', 'finished', 'completed_at', 'cancelled_at', 'deepest', 'deepest_lane',
      'put_back_lane', 'put_back_job', 'template'))
  local remaining = number(total, 0) - number(finished, 0)
  if complete or remaining == 0 then return 0 end
  if cancelled then return -1 end
  local _, trader = lane.split(deepest_lane or '')
  if not template then trader = nil end   -- that of all its changes
  local deep, put_back = head_of(deepest_lane), put_back_job and head_of(put_back_lane, put_back_job)
  local deep_job = deep and deep.job_id
  if trader and deep and redis.call('SISMEMBER', members, deep.user) == 1 then
    deep_job = change_of(deep.user, trader)
    if not deep_job then deep = nil end   -- it has ended: what is left in the lane is of others
  end
  local function job_of(head) return head and (head == put_back and put_back_job or deep_job) or '' end
  waits_for = job_of(put_back or deep)
  if is_paused('everything') then return -1 end
  if trader and is_paused('trader:' .. trader) then
    if waits_for == '' then waits_for = any_change(trader) or '' end
    return -1
  end
  for _, head in ipairs({deep or put_back, put_back}) do
    if head and (is_paused('user:' .. head.user) or is_paused('trader:' .. head.trader)) then
      waits_for = job_of(head)
      return -1
    end
  end
  local paused_change = paused_user_change(trader)
  if paused_change then
    waits_for = paused_change
    return -1
  end
  local changes_per_us, worker_pace, hold_until, sends = sending_egresses()
  if changes_per_us == 0 then return -1 end
  for _, head in ipairs({deep or put_back, put_back}) do
    local egress_name = head and redis.call('HGET', KEY.pins, head.user)
    if egress_name and not sends[egress_name] then
      waits_for = job_of(head)
      return -1
    end
  end
  local held_us = math.max(0, hold_until - now_us)
  local all_sent_us = held_us + remaining / changes_per_us
  local function us(head, changes) return drained_us(head, changes, held_us, changes_per_us, worker_pace) end
  local deep_us = deep and us(deep, math.min(deep.changes, number(deepest, 1))) or 0
  local put_back_us = put_back and us(put_back, 1) or 0
  if deep_us > put_back_us then waits_for = job_of(deep) end
  return math.max(all_sent_us, deep_us, put_back_us)
end

local eta = eta_us()
local reply = {eta < 0 and -1 or math.ceil(eta / 1000), waits_for}
for i, value in ipairs(redis.call('HMGET', batch, unpack(input.fields))) do reply[i + 2] = value or '' end
return reply
