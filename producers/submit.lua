--[[
submit: accept a chunk of changes.

For each change: refuse it if its ID is known or its lane is full, else store its payload, append it to its lane, and
put the lane on the schedule if it was empty. Atomic so that a lane that is not empty is always on the schedule
(no wake-up can be lost) and an ID is accepted once.

A lane that becomes non-empty joins behind the lanes of its user that already wait for the bucket: it takes the next
free turn, so that nobody who waits loses a turn to a newcomer.

KEYS  1 schedule   2 bell
ARGV  1 lane prefix   2 job prefix   3 result prefix   4 bucket prefix   5 bucket suffix
      6 how many changes a lane may hold
      then for each change: lane, job ID, payload
Reply {now (ms, Redis clock), one integer for each change: n > 0 accepted as the n-th of its lane,
       0 already there, -1 lane full}
]]
local schedule, bell = KEYS[1], KEYS[2]
local lane_prefix, job_prefix, result_prefix = ARGV[1], ARGV[2], ARGV[3]
local bucket_prefix, bucket_suffix, lane_limit = ARGV[4], ARGV[5], tonumber(ARGV[6])
local FIRST, STEP = 7, 3
local KEEP_MS = 60000
local PROMISED = 0.5   -- see claim.lua of the worker

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)

local function due_ms(lane)
  local bucket = bucket_prefix .. string.match(lane, '^[^:]*') .. bucket_suffix
  local promised = redis.call('HMGET', bucket, 'turn', 'pace')
  local turn = tonumber(promised[1] or 0)
  if turn <= now_us then return now_ms end
  local next_turn = turn + tonumber(promised[2])
  redis.call('HSET', bucket, 'turn', next_turn)
  local keep_ms = math.ceil((next_turn - now_us) / 1000) + KEEP_MS
  if redis.call('PTTL', bucket) < keep_ms then redis.call('PEXPIRE', bucket, keep_ms) end
  return math.floor(turn / 1000) + PROMISED
end

local reply = {now_ms}
local woken = false
for i = FIRST, #ARGV, STEP do
  local lane, job_id, payload = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local job, list = job_prefix .. job_id, lane_prefix .. lane
  local held = redis.call('LLEN', list)
  if redis.call('EXISTS', job, result_prefix .. job_id) > 0 then
    reply[#reply + 1] = 0
  elseif held >= lane_limit then
    reply[#reply + 1] = -1
  else
    if held == 0 then
      redis.call('ZADD', schedule, due_ms(lane), lane)
      woken = true
    end
    redis.call('SET', job, payload)
    reply[#reply + 1] = redis.call('RPUSH', list, job_id)
  end
end
if woken and redis.call('LLEN', bell) == 0 then redis.call('LPUSH', bell, '1') end
return reply
