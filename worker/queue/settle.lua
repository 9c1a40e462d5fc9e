--[[
settle: the end of an attempt.

Either the head's outcome is written (result, counters, announcement) and the lane goes on with its next change, or
the head stays the head and the lane is put back with a later score. Atomic so that a change has one outcome, a lane
that is not empty is on the schedule, and a settle whose token is no longer the lane's changes nothing (fenced).

Changes that were sent with the head end with it. A head that was refused together with others goes back `solo`: up to
the last of them, they are sent one by one.

KEYS  1 schedule   2 bulk schedule   3 lanes   4 lane   5 head   6 bucket   7 egress   8 egresses   9 troubles
      10 refused   11 bell
ARGV  1 lane   2 job ID   3 token   4 slot number   5 requests a window   6 window (us), both if the bucket forgot its
      7 time since the reply or failure of the request (us), -1 if nothing was sent
      8 the request's round trip (us), -1 if there was no reply
      9 user hold (ms from now, 0 none)   10 user of the lane   11 egress hold (ms) if many users are throttled
      12 egress pace (us a request)   13 trouble of the request, "" for none (see breaker.lua)
      14 mark of a user whose keys were refused, "-" to remove it, "" to leave it
      15 how long results are kept (ms)   16 how long dead letters are (ms)   17 verb: "done" or "back"
      done: 18 the head's state if it goes back after all, since the egress's keys are refused, "" if it never does
            19 state that those behind need, "" for none; then for the head and each that ends with it: job ID,
            outcome, result
      back: 18 delay (ms)   19 state   20 the last that is sent alone, "" if it stays as it is
Reply {1, us until the lane is due again, -1 if it is empty, how many ended, what happened to the breaker} or
      {0, -1, 0, what happened}: fenced; the breaker's: 0 nothing, 1 opened, 2 closed, 3 the egress is held
]]
local schedule, bulk, lanes, list, head = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local bucket, egress, egresses, troubles, refused, bell = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local lane, job_id, token = ARGV[1], ARGV[2], ARGV[3]
local slot_number = tonumber(ARGV[4])
local reply_age, round_trip = tonumber(ARGV[7]), tonumber(ARGV[8])
local hold_ms, user, trouble, mark, verb = tonumber(ARGV[9]), ARGV[10], ARGV[13], ARGV[14], ARGV[17]
finish.begin(tonumber(ARGV[15]), tonumber(ARGV[16]))

local KEEP_MS = 60000
local PROMISED = 0.5           -- see claim.lua
local RELEASED = 0             -- an entry of the bucket's ring that holds back nobody
local GIVEN_BACK_WITHIN = 1000000   -- us; an older slot of the egress is nothing that others could use now
local FLOOR_WINDOW = 60000000  -- us; a changed network path is forgotten after one to two of these
local FLOOR_SAMPLES = 10       -- fewer round trips give no credit
local FLOOR_MARGIN = 1000      -- us; clocks and timers tick in milliseconds
local FLOOR_KEEP_MS = 600000
local AS_SET = 1000            -- thousandths of the user's pace, as bucket.lua reads them
local HALF_AS_FAST = 2.1       -- and a little less, since requests are delayed differently on their way
local SLOWEST = 8000
local TENTH_LESS = 0.9
local FASTER_AFTER = 30000000  -- us
local FASTER_AFTER_AT_MOST = 600000000

local now = finish.now_us

-- Whether requests of the user may leave by another way as well: then no part of a round trip is sure.
local function has_another_way()
  if redis.call('SCARD', egresses) < 2 then return false end
  local prefix = string.match(egress, '^(.*:)[^:]*$')
  for _, name in ipairs(redis.call('SMEMBERS', egresses)) do
    if prefix .. name ~= egress and redis.call('EXISTS', prefix .. name) == 1 then return true end
  end
  return false
end

-- The shortest round trip of this egress over the current window and the one before it; 0 until enough were seen.
local function floor()
  local seen = redis.call('HMGET', egress, 'floor', 'samples', 'since', 'floor before', 'samples before')
  local shortest, samples, since = tonumber(seen[1] or round_trip), tonumber(seen[2] or 0), tonumber(seen[3] or now)
  local before, samples_before = tonumber(seen[4] or round_trip), tonumber(seen[5] or 0)
  if now - since >= FLOOR_WINDOW then
    if now - since < 2 * FLOOR_WINDOW then
      before, samples_before = shortest, samples
    else
      before, samples_before = round_trip, 0
    end
    shortest, samples, since = round_trip, 0, now
  end
  shortest, samples = math.min(shortest, round_trip), samples + 1
  redis.call('HSET', egress, 'floor', shortest, 'samples', samples, 'since', since, 'floor before', before,
    'samples before', samples_before)
  if redis.call('PTTL', egress) < FLOOR_KEEP_MS then redis.call('PEXPIRE', egress, FLOOR_KEEP_MS + KEEP_MS) end
  if samples + samples_before < FLOOR_SAMPLES or has_another_way() then return 0 end
  return math.max(0, math.min(shortest, before) - FLOOR_MARGIN)
end

-- The bucket is told what became of its slot even when the lane is lost: the exchange saw the request all the same.
local state = redis.call('HMGET', bucket, 'n', 'turn', 'turn pace', 'hold', 'ring', 'window', 'slow', 'slowed at',
  'faster at', 'slow wait', 'raised')
local n, turn, pace = tonumber(state[1] or 0), tonumber(state[2] or 0), tonumber(state[3] or 0)
local hold, per_window = tonumber(state[4] or 0), tonumber(state[5] or ARGV[5])
local window = tonumber(state[6] or ARGV[6])

-- When the window that the request opened has surely ended: no earlier than it arrived, plus the window.
local function window_end()
  if reply_age < 0 then return RELEASED end
  if round_trip < 0 then return now - reply_age + window end
  return now - reply_age - floor() + window
end

local entry = tostring(slot_number % per_window)
local slot = -tonumber(redis.call('HGET', bucket, entry) or 0)
local still_in_ring = n > slot_number and n - slot_number <= per_window
if still_in_ring and slot > 0 then
  redis.call('HSET', bucket, entry, window_end())
  if reply_age < 0 then
    -- Nothing was sent: the slot is given back, the user's if no later one was taken.
    if n == slot_number + 1 then
      turn = math.min(turn, slot)
      redis.call('HSET', bucket, 'tat', slot, 'turn', turn)
    end
    if slot > now - GIVEN_BACK_WITHIN then
      local tat = tonumber(redis.call('HGET', egress, 'tat') or 0)   -- what no longer delays anybody is not given back
      redis.call('HSET', egress, 'tat', math.max(tat - tonumber(ARGV[12]), math.min(tat, now)))
    end
  end
end

-- Whether the request before this one was a window ago: then no limit of the user can have refused it.
local function alone()
  if slot_number == 0 then return true end
  local before = tonumber(redis.call('HGET', bucket, tostring((slot_number - 1) % per_window)) or 0)
  return before >= 0 and before <= now - reply_age - round_trip
end

-- A user that was throttled by a limit of its own is slowed to half its pace, and brought back by tenths. If that was
-- too much it goes back by one, and waits longer for the next.
local slow, faster_at = tonumber(state[7] or AS_SET), tonumber(state[9] or 0)

local function slow_down()
  if now - reply_age - round_trip <= tonumber(state[8] or 0) then return end   -- sent before it was slowed
  local wait = FASTER_AFTER
  if state[11] == '1' then
    slow, wait = math.floor(slow / TENTH_LESS), math.min(2 * tonumber(state[10] or wait), FASTER_AFTER_AT_MOST)
  else
    slow = math.min(math.floor(HALF_AS_FAST * slow), SLOWEST)
  end
  faster_at = math.max(hold, now) + wait
  redis.call('HSET', bucket, 'slow', slow, 'slowed at', now, 'faster at', faster_at, 'slow wait', wait, 'raised', 0)
end

local function speed_up()
  slow = math.floor(slow * TENTH_LESS)
  if slow <= AS_SET then
    redis.call('HDEL', bucket, 'slow', 'slowed at', 'faster at', 'slow wait', 'raised')
    faster_at = 0
  else
    faster_at = now + tonumber(state[10] or FASTER_AFTER)
    redis.call('HSET', bucket, 'slow', slow, 'faster at', faster_at, 'raised', 1)
  end
end

local was_alone = trouble == 'throttled' and alone()
if hold_ms > 0 then
  hold = math.max(hold, now + hold_ms * 1000)
  redis.call('HSET', bucket, 'hold', hold)
end
if trouble == 'throttled' and not was_alone then
  slow_down()
elseif trouble == '' and round_trip >= 0 and slow > AS_SET and now >= faster_at then
  speed_up()
end

local of_egress, happened = breaker.hear({
  egress = egress, troubles = troubles, refused = refused, bell = bell, token = token, user = user, now = now,
  trouble = trouble, unsent = reply_age < 0, counts = trouble ~= 'throttled' or was_alone,
  hold = tonumber(ARGV[11]) * 1000,
})
if mark == '-' then redis.pcall('HDEL', refused, user)
elseif mark ~= '' and of_egress == 0 then redis.pcall('HSET', refused, user, mark) end

local function schedule_lane(earliest, on)
  local due = math.max(earliest, turn, hold)
  local promised = due == turn
  if promised then turn = turn + pace end
  if turn > 0 then redis.call('HSET', bucket, 'turn', turn) end
  local keep_ms = math.ceil((math.max(turn, hold, faster_at, now) - now) / 1000) + KEEP_MS
  if redis.call('PTTL', bucket) < keep_ms then redis.call('PEXPIRE', bucket, keep_ms) end
  redis.call('ZADD', on, math.floor(due / 1000) + (promised and PROMISED or 0), lane)
  return due - now
end

local FIRST, STEP = 20, 3

local mine = redis.call('HMGET', head, 'token', 'joins', 'solo')

-- Whether this claim still holds the lane, and the lane begins with what was sent.
local function holds()
  if mine[1] ~= token then return false end
  if verb == 'back' then return redis.call('LINDEX', list, 0) == job_id end
  local sent = (#ARGV - FIRST + 1) / STEP
  if sent == 1 then return redis.call('LINDEX', list, 0) == job_id end
  for i, listed in ipairs(redis.call('LRANGE', list, 0, sent - 1)) do
    if listed ~= ARGV[FIRST + (i - 1) * STEP] then return false end
  end
  return redis.call('LLEN', list) >= sent
end

if not holds() then return {0, -1, 0, happened} end

local on = redis.call('ZSCORE', bulk, lane) and bulk or schedule
local _, batch = finish.find_batch(job_id)
if batch then redis.call('HINCRBY', batch, 'in flight', -1) end

local function put_back(delay_us, history)
  redis.call('HDEL', head, 'token', 'held', 'lease')
  local earliest = now + delay_us
  redis.call('HSET', head, 'state', history, 'earliest', math.floor(earliest / 1000))
  if reply_age >= 0 then redis.call('HSET', head, 'lapses', 0) end   -- unsent, it is as uncertain as before
  return {1, schedule_lane(earliest, on), 0, happened}
end

if verb == 'back' then
  if ARGV[20] ~= '' then redis.call('HSET', head, 'solo', ARGV[20]) end
  return put_back(tonumber(ARGV[18]) * 1000, ARGV[19])
end
-- Keys that are refused to everybody: the change is not to blame. Others are to probe before it.
if of_egress > 0 and ARGV[18] ~= '' then return put_back(2 * of_egress, ARGV[18]) end

local marks = {mine[2], mine[3]}
local ended_here = (#ARGV - FIRST + 1) / STEP
for i = FIRST, #ARGV, STEP do
  local ended = ARGV[i]
  if finish.count_down_interactive(head, ended) then
    redis.call('ZREM', schedule, lane)
    on = bulk
  end
  finish.change(ended, lane, ARGV[i + 1], ARGV[i + 2])
  redis.call('LPOP', list)
  for m, field in ipairs({'joins', 'solo'}) do
    if marks[m] == ended then redis.call('HDEL', head, field) end
  end
end
if redis.call('EXISTS', list) == 0 then
  redis.call('DEL', head)
  redis.call('ZREM', on, lane)
  redis.call('ZREM', lanes, lane)
  return {1, -1, ended_here, happened}
end
redis.call('HDEL', head, 'token', 'held', 'lease', 'lapses', 'earliest')
-- Where changes may join, the history tells of those that were sent with the head.
if not marks[1] then redis.call('HDEL', head, 'state') elseif ARGV[19] ~= '' then redis.call('HSET', head, 'state', ARGV[19]) end
return {1, schedule_lane(now, on), ended_here, happened}
