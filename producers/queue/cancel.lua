--[[
cancel: take back changes that have not been sent.

Atomic so that a change is either cancelled or in flight, a lane that is not empty stays on a schedule, and one that
becomes empty leaves it.

KEYS  1 schedule   2 bulk schedule   3 lanes   4 bell
ARGV  1 lane prefix   2 head prefix   3 bucket prefix   4 bucket suffix   5 how long results are kept (ms)
      then for each change: lane, job ID, the state of its head as the caller saw it ("" for none), result
Reply one integer for each change: 1 cancelled, 0 it is not queued, -1 in flight, -2 its state is another by now
]]
-- luacheck: read globals finish
local schedule, bulk, lanes, bell = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lane_prefix, head_prefix, bucket_prefix, bucket_suffix = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local FIRST, STEP = 6, 4
local HEAD = {'token', 'lapses', 'held', 'lease', 'earliest'}
local MARKS = {'joins', 'solo'}
finish.begin(tonumber(ARGV[5]))
local now_ms = math.floor(finish.now_us / 1000)

-- Marks that name the change name the one before it from now on, if there is one.
local function move_marks(head, list, job_id, position)
  local marks = redis.call('HMGET', head, unpack(MARKS))
  for i, mark in ipairs(MARKS) do
    if marks[i] == job_id then
      if position > 0 then
        redis.call('HSET', head, mark, redis.call('LINDEX', list, position - 1))
      else
        redis.call('HDEL', head, mark)
      end
    end
  end
end

-- The lanes of its user take their turns anew, for the lane's turns are free now.
local function free_turns(lane)
  local bucket = bucket_prefix .. string.match(lane, '^[^:]*') .. bucket_suffix
  if redis.call('HEXISTS', bucket, 'turn') == 1 then redis.call('HSET', bucket, 'turn', 0) end
end

local function cancel(lane, job_id, seen, result)
  local list, head = lane_prefix .. lane, head_prefix .. lane
  local position = redis.call('LPOS', list, job_id)
  if not position then return 0 end
  local state = redis.call('HMGET', head, 'token', 'held', 'state')
  if state[1] and position < tonumber(state[2] or 1) then return -1 end
  if position == 0 and (state[3] or '') ~= seen then return -2 end
  move_marks(head, list, job_id, position)
  local demoted = finish.one_less_urgent(head, job_id)
  if position == 0 then
    redis.call('HDEL', head, unpack(HEAD))
    if redis.call('HEXISTS', head, 'joins') == 0 then redis.call('HDEL', head, 'state') end   -- see settle.lua
  end
  redis.call('LREM', list, 1, job_id)
  if redis.call('EXISTS', list) == 0 then
    for _, key in ipairs({schedule, bulk, lanes}) do redis.call('ZREM', key, lane) end
    redis.call('DEL', head)
    free_turns(lane)
  else
    local due = redis.call('ZSCORE', schedule, lane)
    local on = due and not demoted and schedule or bulk
    if position == 0 then
      due = now_ms   -- what made the head wait was its own
      free_turns(lane)
      if redis.call('LLEN', bell) == 0 then redis.call('LPUSH', bell, '1') end
    end
    if demoted then redis.call('ZREM', schedule, lane) end
    if due then redis.call('ZADD', on, due, lane) end
  end
  finish.of(job_id, lane, 'cancelled', result)
  return 1
end

local reply = {}
for i = FIRST, #ARGV, STEP do
  reply[#reply + 1] = cancel(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
end
return reply
