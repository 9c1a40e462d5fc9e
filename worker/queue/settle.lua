--[[
settle: settle claims.

FINISH ends the head, and the changes that were sent with it: it stores, counts and announces their results. The next
change becomes the head. REQUEUE keeps the head, for a later time; so does a FINISH with a history to requeue with, if
the egress is at fault. The script first records the request in the bucket, the egress, the breaker and the
rejected-keys mark. It does so even if the session no longer holds the lane; then it only takes the count of a lost
delivery off again: a session that was taken back and settles late was slow, and not killed by the change.
Atomic so that a change ends once, a lane that is not empty stays covered, and a lane is only changed by the session
that holds it.

ARGV  1 the request, see SettleRequest in settlement_rows.py   2 and on: histories, results and payloads
Reply the message SettleReply of settlement_rows.py
]]
-- luacheck: read globals clock bucket egress breaker lane schedule session batches finish round_trips slowdown
-- luacheck: read globals input pack_reply BREAKER_EVENT
-- luacheck: read globals SETTLE_ACTION WRITTEN CLEAR_MARK THROTTLED MAX_CLOCK_ERROR
local now = clock.now_us

egress.begin(input.egress, {egress_pace = input.egress_pace, egress_burst = 0, user_pace = 0})
breaker.begin(input.egress, input.max_throttled_pause_ms * 1000)
round_trips.begin(input.egress)
finish.begin(input.result_ttl_ms, input.dead_letter_ttl_ms)

local lanes, users, traders = {}, {}, {}
for i, settlement in ipairs(input.settlements) do
  lanes[i] = settlement.lane
  users[i], traders[i] = lane.split(settlement.lane)
end
local tokens = session.tokens(input.session, lanes)
bucket.read(users)

local released = {}     -- lanes that are no longer held

-- Return an argument of the script by its number, nil for 0.
local function bytes(number) return number > 0 and ARGV[number + 1] or nil end

-- Return when the window that a request opened at the exchange ends at the latest (see worker/queue/rate.py): one
-- window after its reply, less the certain round trip; without a reply, one window after it arrives at the latest.
local function window_end(settlement, found)
  local ended_at, round_trip = now - settlement.reply_age, settlement.round_trip
  if round_trip < 0 then return ended_at + settlement.arrives_within + found.window end
  local is_measured = bucket.is_in_flight(found, settlement.slot_number)
  return ended_at - (is_measured and round_trips.add(round_trip) or 0) + found.window
end

local function settle_slot(settlement, found, was_sent)
  if was_sent then
    bucket.confirm(found, settlement.slot_number, window_end(settlement, found))
  else
    local slot = bucket.give_back(found, settlement.slot_number)
    if slot then egress.give_back(slot) end
  end
end

-- Return whether the window of the user's previous request had ended when a request was sent. If so, the user's limit
-- did not throttle it. If Redis's clock may have been set since that window began, it shows nothing.
local function preceded_by_full_window(settlement, found, sent_at)
  local is_steady = math.abs(now - input.reckoned_now) <= MAX_CLOCK_ERROR
    and input.reckoned_now - settlement.steady_for <= sent_at - found.window
  return is_steady and found.per_window > 0 and bucket.window_before_ended(found, settlement.slot_number, sent_at)
end

-- Record a request in the bucket, the egress and the breaker. Return for how long (us) the egress is at fault, and the
-- BREAKER_EVENT.
local function record_request(settlement, found, user, trader)
  local was_sent, kind = settlement.reply_age >= 0, settlement.failure_kind
  local token = input.session .. '.' .. settlement.token
  settle_slot(settlement, found, was_sent)
  local has_reply = was_sent and settlement.round_trip >= 0
  if settlement.late_for > 0 then bucket.set_late(found, trader, now + settlement.late_for) end
  if not has_reply and kind == '' then   -- it shows nothing
    breaker.forget_probe(token)
    return 0, BREAKER_EVENT.NONE
  end
  local sent_at = now - settlement.reply_age - settlement.round_trip   -- only if there is a reply
  local is_throttled = kind == THROTTLED
  local is_egress_throttled = is_throttled and preceded_by_full_window(settlement, found, sent_at)
  if settlement.hold_ms > 0 then bucket.hold(found, now + settlement.hold_ms * 1000) end
  if is_throttled and not is_egress_throttled then slowdown.slow_down(found, sent_at) end
  if kind == '' then
    bucket.record_good_reply(found)
    slowdown.speed_up(found)
  end
  return breaker.record({token = token, user = user, failure_kind = kind,
    retry_after = settlement.retry_after_ms * 1000,
    concerns_egress = settlement.is_explained == 0 and (not is_throttled or is_egress_throttled),
    is_egress_fault = settlement.is_egress_fault == 1})
end

local function update_mark(user, mark, at_fault_for)
  if mark == CLEAR_MARK then redis.pcall('HDEL', KEY.rejected_keys, user)
  elseif mark ~= '' and at_fault_for == 0 then redis.pcall('HSET', KEY.rejected_keys, user, mark) end
end

-- Take a lost delivery off again that was counted when the session was taken back.
local function take_lost_delivery_off(settlement, user, trader)
  if redis.call('HGET', KEY.taken .. input.session, settlement.lane) ~= settlement.token then return end
  redis.call('HDEL', KEY.taken .. input.session, settlement.lane)
  local head, attempts = lane.read(user, trader), KEY.attempts .. settlement.lane
  if not head or head.job_id ~= settlement.job_id then return end
  if tonumber(redis.call('HGET', attempts, 'lost_deliveries') or 0) > 0 then
    redis.call('HINCRBY', attempts, 'lost_deliveries', -1)
  end
end

-- Keep of a finished head what the changes behind it need: its history, new or old, if they may have been sent with it,
-- and up to which of them they are sent alone.
local function pass_attempts_on(head, history, alone_until)
  local attempts = KEY.attempts .. head.name
  lane.forget_attempts(head)
  if head.coalescable == 0 then return end
  if alone_until then redis.call('HSET', attempts, 'alone_until', alone_until) end
  if history then redis.call('HSET', attempts, 'history', history) end
  head.is_attempted = (alone_until or history) and true or false
end

-- Write the head of a lane that is no longer in flight, which is not claimed before a time (us).
local function put_back(head, not_before)
  lane.write(head)
  lane.set_score(head, not_before > now and math.ceil(not_before / 1000) or clock.now_ms)
  released[#released + 1] = head.name
end

local function requeue(settlement, head, found, delay, history, was_sent)
  local attempts, not_before = KEY.attempts .. head.name, now + delay
  redis.call('HSET', attempts, 'history', history, 'waits_for', settlement.waits_for)
  if was_sent then redis.call('HDEL', attempts, 'lost_deliveries') end   -- a claim that was not sent shows nothing
  if settlement.one_by_one > 0 then
    redis.call('HSET', attempts, 'alone_until', redis.call('HGET', attempts, 'sent_until') or head.job_id)
    not_before = math.max(not_before, bucket.late_until(found, head.trader))   -- it is no repetition
  end
  head.is_attempted = true
  put_back(head, not_before)
  local due = math.max(not_before, found.hold)
  if due > now then batches.put_back(head.job_id, head.name, math.ceil(due / 1000)) end
end

-- End a head and the changes that were sent with it; those that were cancelled meanwhile have ended. Return how many.
local function end_changes(settlement, head, found)
  local finished, count, name = {}, 0, head.name
  local is_left, alone_until, old_history = true, nil, nil
  if head.changes > 1 then   -- what may fail does so before a change leaves the lane
    redis.call('LLEN', KEY.rest .. name)
    lane.write(head)
    lane.set_score(head, lane.IN_FLIGHT)
    if head.is_attempted then
      alone_until, old_history = unpack(redis.call('HMGET', KEY.attempts .. name, 'alone_until', 'history'))
    end
  end
  for _, ending in ipairs(settlement.endings) do
    if is_left and head.job_id == ending.job_id then
      finish.change(ending.job_id, name, ending.outcome, bytes(ending.result), bytes(ending.payload))
      is_left = lane.pop(head)
      finished[ending.job_id], count = true, count + 1
    end
  end
  if is_left then
    pass_attempts_on(head, bytes(settlement.history) or old_history, not finished[alone_until] and alone_until)
    put_back(head, math.max(now, bucket.late_until(found, head.trader)))
  else
    released[#released + 1] = name
  end
  return count
end

-- Return the us until a head can be attempted again at the earliest.
local function until_again(found, user, not_before)
  local slot = bucket.next_slot(found) or now
  return math.floor(math.max(not_before, slot, breaker.paused_until(user)) - now)
end

local function settle(settlement, found, user, trader, at_fault_for)
  local was_sent = settlement.reply_age >= 0
  local head = tokens[settlement.lane] == settlement.token and lane.read(user, trader)
  if not head or head.job_id ~= settlement.job_id then
    take_lost_delivery_off(settlement, user, trader)
    schedule.update(user)
    return {written = WRITTEN.FENCED, finished = 0, again_us = 0}
  end
  tokens[settlement.lane] = nil
  local delay, history = settlement.delay_ms * 1000, bytes(settlement.history)
  local is_requeue, count, was_bulk = settlement.action == SETTLE_ACTION.REQUEUE, 0, head.interactive == 0
  if not is_requeue and at_fault_for > 0 and settlement.requeue_history > 0 then
    -- The exchange rejects the keys of many users, so these keys are not at fault. Wait until other users were probed.
    is_requeue, delay, history = true, 2 * at_fault_for, bytes(settlement.requeue_history)
  end
  if is_requeue then requeue(settlement, head, found, delay, history, was_sent)
  else count = end_changes(settlement, head, found) end
  batches.count_in_flight(settlement.job_id, -1)
  local is_bulk = head.interactive == 0
  if was_bulk ~= is_bulk then schedule.update(user) else schedule.update(user, is_bulk) end
  local again_us = is_requeue and until_again(found, user, now + delay) or 0
  return {written = WRITTEN.WRITTEN, finished = count, again_us = again_us}
end

local rows = {}
for i, settlement in ipairs(input.settlements) do
  local user, trader = users[i], traders[i]
  local found = bucket.of(user)
  local at_fault_for, event = record_request(settlement, found, user, trader)
  update_mark(user, settlement.rejected_keys_mark, at_fault_for)
  local is_done, row = pcall(settle, settlement, found, user, trader, at_fault_for)
  if is_done then finish.keep()
  else
    finish.discard()
    row = {written = WRITTEN.FAILED, finished = 0, again_us = 0, error = tostring(row)}
  end
  row.breaker_event, row.error = event, row.error or ''
  rows[i] = row
end
session.release(input.session, released)
finish.save()
egress.save()
round_trips.save()
local earliest = schedule.save()
bucket.save()
schedule.wake_others(input.egress)
return pack_reply({rows = rows, next_due_us = earliest < math.huge and math.max(0, earliest * 1000 - now) or -1})
