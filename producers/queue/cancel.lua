--[[
cancel: remove changes that have not been sent from their lanes.

Atomic so that a change is either cancelled or in flight, a lane that is not empty stays on a schedule, and one that
becomes empty leaves it.

ARGV  1 TTL of results (ms)
      then for each change: lane, job ID, the history of its lane's head as the caller read it ("" for none), result
Reply a VERDICT for each change
]]
-- luacheck: read globals finish BUCKET_SUFFIX LATE VERDICT
local schedule, bulk_schedule = KEY.schedule, KEY.bulk_schedule
local changes = {}
for i = 2, #ARGV, 4 do
  changes[#changes + 1] = {lane = ARGV[i], job_id = ARGV[i + 1], history = ARGV[i + 2], result = ARGV[i + 3]}
end
finish.begin(tonumber(ARGV[1]))
local now_ms = math.floor(finish.now_us / 1000)

-- The head names the last change that may be coalesced, and the last one that is sent alone. If the cancelled change is
-- one of them, name the change before it instead, or none.
local function move_boundaries(head, list, job_id, position)
  local last_coalescable, last_alone = unpack(redis.call('HMGET', head, 'joins', 'solo'))
  for field, last in pairs({joins = last_coalescable, solo = last_alone}) do
    if last == job_id then
      if position > 0 then
        redis.call('HSET', head, field, redis.call('LINDEX', list, position - 1))
      else
        redis.call('HDEL', head, field)
      end
    end
  end
end

-- Release the time that the lane had reserved; the user's other lanes then reserve theirs again.
local function release_reserved(lane)
  local bucket = KEY.bucket .. string.match(lane, '^[^:]*') .. BUCKET_SUFFIX
  if redis.call('HEXISTS', bucket, 'turn') == 1 then redis.call('HSET', bucket, 'turn', 0) end
end

-- Return when the lane's next change may be sent (ms): now, or when no request of the head can be applied any more.
local function late_ms(lane)
  local user, trader = string.match(lane, '^([^:]*):(.*)$')
  local late_until = tonumber(redis.call('HGET', KEY.bucket .. user .. BUCKET_SUFFIX, LATE .. trader) or 0)
  return math.max(now_ms, math.ceil(late_until / 1000))
end

local function forget_head(head)
  redis.call('HDEL', head, 'token', 'lapses', 'held', 'lease', 'earliest')
  -- While changes behind it may be coalesced, the history also shows which of them were sent.
  if redis.call('HEXISTS', head, 'joins') == 0 then redis.call('HDEL', head, 'state') end
end

local function reschedule(lane, was_head, is_bulk_now)
  local due = redis.call('ZSCORE', schedule, lane)
  local target = due and not is_bulk_now and schedule or bulk_schedule
  if was_head then
    due = late_ms(lane)   -- a back-off belonged to the cancelled head
    if due > now_ms then redis.call('HSET', KEY.head .. lane, 'earliest', due) end
    release_reserved(lane)
    if redis.call('LLEN', KEY.wakeups) == 0 then redis.call('LPUSH', KEY.wakeups, '1') end
  end
  if is_bulk_now then redis.call('ZREM', schedule, lane) end
  if due then redis.call('ZADD', target, due, lane) end
end

local function cancel(change)
  local lane, job_id = change.lane, change.job_id
  local list, head = KEY.lane .. lane, KEY.head .. lane
  local position = redis.call('LPOS', list, job_id)
  if not position then return VERDICT.ENDED end
  local token, in_flight, history = unpack(redis.call('HMGET', head, 'token', 'held', 'state'))
  if token and position < (tonumber(in_flight or 1) or 1) then return VERDICT.IN_FLIGHT end
  if position == 0 and (history or '') ~= change.history then return VERDICT.HISTORY_CHANGED end
  move_boundaries(head, list, job_id, position)
  local is_bulk_now = finish.count_down_interactive(head, job_id)
  if position == 0 then forget_head(head) end
  redis.call('LREM', list, 1, job_id)
  if redis.call('EXISTS', list) == 1 then
    reschedule(lane, position == 0, is_bulk_now)
  else
    for _, key in ipairs({schedule, bulk_schedule, KEY.lanes}) do redis.call('ZREM', key, lane) end
    redis.call('DEL', head)
    release_reserved(lane)
  end
  finish.change(job_id, lane, 'cancelled', change.result)
  return VERDICT.CANCELLED
end

local reply = {}
for i, change in ipairs(changes) do reply[i] = cancel(change) end
return reply
