--[[
cancel: take back changes that have not been sent.

Atomic so that a change is either cancelled or in flight, a lane that is not empty stays on a schedule, and one that
becomes empty leaves it.

KEYS  1 schedule   2 bulk schedule   3 lanes   4 bell
ARGV  1 lane prefix   2 head prefix   from 3 to 14: see ending.lua
      then for each change: lane, job ID, the state of its head as the caller saw it ("" for none), result
Reply one integer for each change: 1 cancelled, 0 it is not queued, -1 in flight, -2 its state is another by now
]]
local schedule, bulk, lanes, bell = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lane_prefix, head_prefix = ARGV[1], ARGV[2]
local FIRST, STEP = 15, 4
local HEAD = {'token', 'lapses', 'state', 'held'}
local MARKS = {'until', 'joins', 'solo'}
ending.begin(3)
local now_ms = math.floor(ending.now_us / 1000)

-- Marks that name the change name the one before it from now on, if there is one.
local function move_marks(head, list, job_id, position)
  local marks = redis.call('HMGET', head, unpack(MARKS))
  for i, mark in ipairs(MARKS) do
    if marks[i] == job_id then
      if position > 0 then
        redis.call('HSET', head, mark, redis.call('LINDEX', list, position - 1))
      else
        redis.call('HDEL', head, mark)
        if mark == 'until' then return true end   -- what is left of the lane is bulk
      end
    end
  end
  return false
end

local function cancel(lane, job_id, seen, result)
  local list, head = lane_prefix .. lane, head_prefix .. lane
  local position = redis.call('LPOS', list, job_id)
  if not position then return 0 end
  local state = redis.call('HMGET', head, 'token', 'held', 'state')
  if state[1] and position < tonumber(state[2] or 1) then return -1 end
  if position == 0 and (state[3] or '') ~= seen then return -2 end
  local demoted = move_marks(head, list, job_id, position)
  if position == 0 then redis.call('HDEL', head, unpack(HEAD)) end
  redis.call('LREM', list, 1, job_id)
  if redis.call('EXISTS', list) == 0 then
    for _, key in ipairs({schedule, bulk, lanes}) do redis.call('ZREM', key, lane) end
    redis.call('DEL', head)
  elseif position == 0 then
    local is_bulk = demoted or redis.call('ZSCORE', bulk, lane)
    if demoted then redis.call('ZREM', schedule, lane) end
    redis.call('ZADD', is_bulk and bulk or schedule, now_ms, lane)   -- what made the head wait was its own
    if redis.call('LLEN', bell) == 0 then redis.call('LPUSH', bell, '1') end
  end
  ending.of(job_id, lane, 'cancelled', result)
  return 1
end

local reply = {}
for i = FIRST, #ARGV, STEP do
  reply[#reply + 1] = cancel(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
end
return reply
