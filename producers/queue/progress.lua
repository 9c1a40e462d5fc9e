--[[
progress: read the counters of a batch, and estimate when its changes will have finished.

The estimate is the later of two times: when the deepest lane has drained at its user's pace, and when all changes have
been sent at the pace of the egresses in use; neither starts before the holds end. A throttled egress is expected to
send after its pause; one whose breaker is open for another reason, or that is paused, sends nothing.
Writes nothing. Atomic so that all counters are of the same moment.

ARGV  1 the request, see ProgressRequest in progress.py
Reply {estimate (ms from now; -1 if unknown or paused), then the value of each field, "" if it is not set}
]]
-- luacheck: read globals clock bucket lane input THROTTLED
local batch = KEY.batch .. input.batch_id
local now_us = clock.now_us

-- Return a stored number, or `default` if it is absent, not a number, or not finite.
local function number(value, default)
  local found = tonumber(value or nil)
  return found and found == found and math.abs(found) < math.huge and found or default
end

local function is_paused(scope)
  return redis.call('HEXISTS', KEY.paused, scope) == 1
end

-- Return of the egresses that send: total rate (changes per us), slowest pace of a user (us), end of the first hold.
local function sending_egresses()
  local changes_per_us, slowest_user_pace, hold_until = 0, 0, math.huge
  for _, name in ipairs(redis.call('SMEMBERS', KEY.egresses)) do
    local pace, user_pace, open_reason, probe_at =
      unpack(redis.call('HMGET', KEY.egress .. name, 'pace', 'user_pace', 'reason', 'probe_at'))
    pace = number(pace, 0)
    local may_send = (not open_reason or open_reason == THROTTLED) and not is_paused('egress:' .. name)
    if pace > 0 and may_send then
      changes_per_us = changes_per_us + 1 / pace
      slowest_user_pace = math.max(slowest_user_pace, number(user_pace, 0))
      hold_until = math.min(hold_until, number(probe_at, 0))
    end
  end
  return changes_per_us, slowest_user_pace, hold_until
end

local function eta_us()
  local total, finished, complete, deepest_lane =
    unpack(redis.call('HMGET', batch, 'total', 'finished', 'completed_at', 'deepest_lane'))
  local remaining = number(total, 0) - number(finished, 0)
  if complete or remaining == 0 then return 0 end
  local user, trader = lane.split(deepest_lane or '')
  if is_paused('everything') then return -1 end
  if user and (is_paused('user:' .. user) or is_paused('trader:' .. trader)) then return -1 end
  local changes_per_us, worker_pace, hold_until = sending_egresses()
  if changes_per_us == 0 then return -1 end
  local held_us = math.max(0, hold_until - now_us)
  local all_sent_us = held_us + remaining / changes_per_us
  if not user then return all_sent_us end
  local found, head = bucket.of(user), lane.read(user, trader)
  local rate = number(redis.call('HGET', KEY.rates, user), 0)
  local pace = rate > 0 and 1000000 / rate or (found.pace > 0 and found.pace or worker_pace)
  local user_held_us = math.max(held_us, found.hold - now_us)
  return math.max(all_sent_us, user_held_us + (head and head.changes or 0) * pace)
end

local eta = eta_us()
local reply = {eta < 0 and -1 or math.ceil(eta / 1000)}
for i, value in ipairs(redis.call('HMGET', batch, unpack(input.fields))) do reply[i + 1] = value or '' end
return reply
