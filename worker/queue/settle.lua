--[[
settle: settle a claim.

FINISH ends the head, and the changes that were sent with it: it stores, counts and announces their results. The next
change becomes the head. REQUEUE keeps the head and schedules the lane for a later time; so does a FINISH with a history
to requeue with, if the egress is at fault. The script first records the request in the bucket, the egress, the breaker
and the rejected-keys mark. It does so even if the claim has lost its lane; then it changes nothing else (it is fenced).
Atomic so that a change ends once, a lane that is not empty stays on a schedule, and a lane is only changed by the
claim that holds it.

ARGV  1 requests per window   2 window (us); 1 and 2 are for a bucket that has expired   3 egress pace (us per
      request)   4 maximum pause (ms) of a throttled egress   5 TTL of results (ms)   6 TTL of dead letters (ms)
      7 lane   8 name of the egress   9 job ID   10 token   11 slot number   12 us since the reply or failure, -1 if
      nothing was sent   13 round trip (us), -1 if no reply came   14 failure kind, "" for none (see breaker.lua)
      15 1 if the failure is explained by the user alone, else 0   16 what the exchange's Retry-After asks for (ms), 0
      for nothing
      17 Redis's time as the worker reckons it (us)   18 for how long before it nobody has set this clock (us)
      19 new rejected-keys mark of the user, CLEAR_MARK to remove it, "" to leave it   20 us for which the request
      may still be applied although its fate is unknown, 0 if it is known   21 SETTLE_ACTION
      REQUEUE: 22 attempt history   23 delay (ms)   24 hold of the user (ms)   25 last change to send alone or ""
      FINISH:  22 history for the changes behind, "" for none   23 history to requeue with if the egress is at fault, ""
               to end anyway   from 24 for the head and each change sent with it: job ID, outcome, result
Reply {1, us until the lane is due (-1: it is empty), number of changes that ended, BREAKER_EVENT,
       us until the head can be attempted again at the earliest, 0 if it ended}
      {0, -1, 0, BREAKER_EVENT, 0} if the claim has lost its lane
]]
-- luacheck: read globals finish breaker round_trips SETTLE_ACTION CLEAR_MARK BUCKET_SUFFIX BUCKET_TTL_MS RESERVED
-- luacheck: read globals FULL_PACE LATE THROTTLED MAX_CLOCK_ERROR
local default_per_window, default_window = ARGV[1], ARGV[2]
local egress_pace, max_throttled_pause_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
finish.begin(tonumber(ARGV[5]), tonumber(ARGV[6]))
local lane, egress_name, job_id, token, slot_number = ARGV[7], ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local user, trader = string.match(lane, '^([^:]*):(.*)$')
local list, head, bucket = KEY.lane .. lane, KEY.head .. lane, KEY.bucket .. user .. BUCKET_SUFFIX
local egress, failures = KEY.egress .. egress_name, KEY.failures .. egress_name
local schedule, bulk_schedule = KEY.schedule, KEY.bulk_schedule
local reply_age, round_trip = tonumber(ARGV[12]), tonumber(ARGV[13])
local failure_kind, is_explained, retry_after_ms = ARGV[14], ARGV[15] == '1', tonumber(ARGV[16])
local reckoned_now, steady_for, rejected_keys_mark = tonumber(ARGV[17]), tonumber(ARGV[18]), ARGV[19]
local late_for, action, history = tonumber(ARGV[20]), ARGV[21], ARGV[22]
local delay_ms, hold_ms, send_alone_until, requeue_history = 0, 0, '', ''
local endings = {}
if action == SETTLE_ACTION.REQUEUE then
  delay_ms, hold_ms, send_alone_until = tonumber(ARGV[23]), tonumber(ARGV[24]), ARGV[25]
else
  requeue_history = ARGV[23]
  for i = 24, #ARGV, 3 do endings[#endings + 1] = {job_id = ARGV[i], outcome = ARGV[i + 1], result = ARGV[i + 2]} end
end

local RELEASED = 0                  -- a ring entry that delays nobody
local REUSABLE_FOR = 1000000        -- us; an egress slot older than this is of no use to others
local HALVE = 2.1                   -- factor of the pace; more than 2 allows for requests that are delayed differently
local MAX_SLOWDOWN_PERMILLE = 8000
local RECOVERY = 0.9                -- factor of the slowdown, for each step of the recovery
local FASTER_AFTER = 30000000       -- us; time without throttling before the next step
local MAX_FASTER_AFTER = 600000000

local now = finish.now_us
local was_sent, has_reply = reply_age >= 0, round_trip >= 0
local sent_at = now - reply_age - round_trip   -- only if there is a reply

local bucket_fields = redis.call('HMGET', bucket, 'n', 'turn', 'turn pace', 'hold', 'ring', 'window', 'slow',
  'slowed at', 'faster at', 'slow wait', 'raised', LATE .. trader)
local n, reserved_until, reserve_pace, hold, per_window, window, slowdown_permille, slowed_at, faster_at, faster_after,
  raised, late_until = unpack(bucket_fields)
n, reserved_until, reserve_pace = tonumber(n or 0), tonumber(reserved_until or 0), tonumber(reserve_pace or 0)
hold, faster_at, slowed_at = tonumber(hold or 0), tonumber(faster_at or 0), tonumber(slowed_at or 0)
late_until = tonumber(late_until or 0)
per_window, window = tonumber(per_window or default_per_window), tonumber(window or default_window)
slowdown_permille, faster_after = tonumber(slowdown_permille or FULL_PACE), tonumber(faster_after or FASTER_AFTER)

-- Return when the window that the request opened at the exchange ends at the latest (see worker/queue/rate.py): one
-- window after its reply, less the certain round trip; without a reply, one window after its failure.
local function window_end()
  if not was_sent then return RELEASED end
  if not has_reply then return now - reply_age + window end
  return now - reply_age - round_trips.add(egress, round_trip, now) + window
end

-- Return an entry of the bucket's ring buffer: the end of a window; or nil and the slot of a request in flight.
local function ring_entry(number)
  local entry = tonumber(redis.call('HGET', bucket, tostring(number % per_window)) or 0)
  if entry < 0 then return nil, -entry end
  return entry, nil
end

-- Record in the ring buffer what became of the slot; give back the slot of a request that was not sent.
local function settle_slot()
  local is_in_ring = n > slot_number and n - slot_number <= per_window
  local _, slot = ring_entry(slot_number)
  if not is_in_ring or not slot then return end
  local good_at = has_reply and failure_kind == '' and {'good', now} or {}
  redis.call('HSET', bucket, tostring(slot_number % per_window), window_end(), unpack(good_at))
  if was_sent then return end
  if n == slot_number + 1 then   -- no later slot was taken: the user gets it back
    reserved_until = math.min(reserved_until, slot)
    redis.call('HSET', bucket, 'tat', slot, 'turn', reserved_until)
  end
  if slot > now - REUSABLE_FOR then
    local tat = tonumber(redis.call('HGET', egress, 'tat') or 0)
    redis.call('HSET', egress, 'tat', math.max(tat - egress_pace, math.min(tat, now)))   -- never further back than now
  end
end

-- Return whether the window of the user's previous request had ended. If so, the user's limit did not throttle it.
-- If Redis's clock may have been set since that window began, it shows nothing.
local function preceded_by_full_window()
  local is_steady = math.abs(now - reckoned_now) <= MAX_CLOCK_ERROR and reckoned_now - steady_for <= sent_at - window
  if not is_steady then return false end
  if slot_number == 0 then return true end
  local ends = ring_entry(slot_number - 1)
  return ends ~= nil and ends <= sent_at
end

-- Slow a throttled user to about half its rate. If it was recovering, undo one step and double the wait for the next.
local function slow_down()
  if sent_at <= slowed_at then return end   -- it was sent before the user was slowed down
  local wait = FASTER_AFTER
  if raised == '1' then
    slowdown_permille, wait = math.floor(slowdown_permille / RECOVERY), math.min(2 * faster_after, MAX_FASTER_AFTER)
  else
    slowdown_permille = math.min(math.floor(HALVE * slowdown_permille), MAX_SLOWDOWN_PERMILLE)
  end
  faster_at = math.max(hold, now) + wait
  redis.call('HSET', bucket, 'slow', slowdown_permille, 'slowed at', now, 'faster at', faster_at, 'slow wait', wait,
    'raised', 0)
end

local function speed_up()
  slowdown_permille = math.floor(slowdown_permille * RECOVERY)
  if slowdown_permille <= FULL_PACE then
    redis.call('HDEL', bucket, 'slow', 'slowed at', 'faster at', 'slow wait', 'raised')
    faster_at = 0
  else
    faster_at = now + faster_after
    redis.call('HSET', bucket, 'slow', slowdown_permille, 'faster at', faster_at, 'raised', 1)
  end
end

-- Keep the bucket until the latest of its times has passed.
local function extend_bucket_ttl()
  local keep_ms = math.ceil((math.max(reserved_until, hold, faster_at, late_until, now) - now) / 1000) + BUCKET_TTL_MS
  if redis.call('PTTL', bucket) < keep_ms then redis.call('PEXPIRE', bucket, keep_ms) end
end

settle_slot()
local is_throttled = failure_kind == THROTTLED
local is_egress_throttled = is_throttled and preceded_by_full_window()
if hold_ms > 0 then
  hold = math.max(hold, now + hold_ms * 1000)
  redis.call('HSET', bucket, 'hold', hold)
end
if is_throttled and not is_egress_throttled then
  slow_down()
elseif failure_kind == '' and has_reply and slowdown_permille > FULL_PACE and now >= faster_at then
  speed_up()
end
if late_for > 0 then
  late_until = math.max(late_until, now + late_for)
  redis.call('HSET', bucket, LATE .. trader, late_until)
elseif late_until > 0 and late_until <= now then
  redis.call('HDEL', bucket, LATE .. trader)
end
if is_throttled or late_for > 0 then extend_bucket_ttl() end   -- also if the claim has lost its lane

local egress_at_fault_for, breaker_event = breaker.record({
  egress = egress, failures = failures, token = token, user = user,
  now = now, failure_kind = failure_kind, was_sent = was_sent, retry_after = retry_after_ms * 1000,
  max_throttled_pause = max_throttled_pause_ms * 1000,
  concerns_egress = not is_explained and (not is_throttled or is_egress_throttled),
})
if rejected_keys_mark == CLEAR_MARK then redis.pcall('HDEL', KEY.rejected_keys, user)
elseif rejected_keys_mark ~= '' and egress_at_fault_for == 0 then
  redis.pcall('HSET', KEY.rejected_keys, user, rejected_keys_mark)
end

local current_token, last_coalescable, last_alone = unpack(redis.call('HMGET', head, 'token', 'joins', 'solo'))

-- Return whether the claim still holds its lane, and the lane still begins with the changes to settle.
local function holds_lane()
  if current_token ~= token then return false end
  if #endings <= 1 then return redis.call('LINDEX', list, 0) == job_id end
  for i, listed in ipairs(redis.call('LRANGE', list, 0, #endings - 1)) do
    if listed ~= endings[i].job_id then return false end
  end
  return redis.call('LLEN', list) >= #endings
end

if not holds_lane() then return {0, -1, 0, breaker_event, 0} end

local lane_schedule = redis.call('ZSCORE', bulk_schedule, lane) and bulk_schedule or schedule
local _, batch = finish.find_batch(job_id)
if batch then redis.call('HINCRBY', batch, 'in flight', -1) end

-- Schedule the lane at the first unreserved due time of its user from `not_before` (us) on. Return the us until then.
local function schedule_lane(not_before)
  local due = math.max(not_before, reserved_until, hold)
  local has_reserved = due == reserved_until
  if has_reserved then reserved_until = reserved_until + reserve_pace end
  if reserved_until > 0 then redis.call('HSET', bucket, 'turn', reserved_until) end
  extend_bucket_ttl()
  redis.call('ZADD', lane_schedule, math.floor(due / 1000) + (has_reserved and RESERVED or 0), lane)
  return due - now
end

local function requeue(delay, own_history)
  local not_before = now + delay
  redis.call('HDEL', head, 'token', 'held', 'lease')
  redis.call('HSET', head, 'state', own_history, 'earliest', math.floor(not_before / 1000))
  if was_sent then redis.call('HSET', head, 'lapses', 0) end   -- a claim that was not sent does not clear the head
  local due_in = schedule_lane(not_before)
  local next_slot = math.max(tonumber(redis.call('HGET', bucket, 'tat') or 0), (ring_entry(n)) or 0)
  local again = math.max(now + due_in, next_slot, breaker.paused_until(egress, failures, user))
  return {1, due_in, 0, breaker_event, math.floor(again - now)}
end

if action == SETTLE_ACTION.REQUEUE then
  if send_alone_until ~= '' then redis.call('HSET', head, 'solo', send_alone_until) end
  return requeue(delay_ms * 1000, history)
end
-- The exchange rejects the keys of many users, so these keys are not at fault. Wait until other users were probed.
if egress_at_fault_for > 0 and requeue_history ~= '' then return requeue(2 * egress_at_fault_for, requeue_history) end

for _, ending in ipairs(endings) do
  if finish.count_down_interactive(head, ending.job_id) then
    redis.call('ZREM', schedule, lane)
    lane_schedule = bulk_schedule
  end
  finish.change(ending.job_id, lane, ending.outcome, ending.result)
  redis.call('LPOP', list)
  if last_coalescable == ending.job_id then redis.call('HDEL', head, 'joins') end
  if last_alone == ending.job_id then redis.call('HDEL', head, 'solo') end
end
if redis.call('EXISTS', list) == 0 then
  redis.call('DEL', head)
  redis.call('ZREM', lane_schedule, lane)
  redis.call('ZREM', KEY.lanes, lane)
  return {1, -1, #endings, breaker_event, 0}
end
redis.call('HDEL', head, 'token', 'held', 'lease', 'lapses', 'earliest')
-- Only changes that may have been sent with the head need its history.
if not last_coalescable then redis.call('HDEL', head, 'state')
elseif history ~= '' then redis.call('HSET', head, 'state', history) end
if late_until > now then redis.call('HSET', head, 'earliest', math.ceil(late_until / 1000)) end
return {1, schedule_lane(math.max(now, late_until)), #endings, breaker_event, 0}
