--[[
finish: how a change ends. A part of every script that ends changes: it stands before the script's own text.

The result is written, counted and announced, the payload removed or kept as a dead letter, and if the change was of a
batch, the batch's counters, stream of results and completion follow. Atomic with the rest of its script so that a
change has exactly one outcome, and readers of counters, streams and results see the same.

Its arguments begin where the script says, in this order: 1 job prefix   2 result prefix   3 prefix of the channels
told of ended changes   4 counts   5 batch prefix   6 members prefix   7 results prefix   8 prefix of the channels told
of complete batches   9 letter prefix   10 dead prefix   11 life of results and of complete batches (ms)   12 life of
dead letters (ms)
]]
local finish = {}

local DEAD = {rejected = true, unauthorized = true, exhausted = true}
local LARGEST_LETTER = 65536
local IS_BULK = "\168priority\164bulk"   -- as codec.py writes it: msgpack

function finish.begin(first)
  finish.job, finish.result, finish.done = ARGV[first], ARGV[first + 1], ARGV[first + 2]
  finish.counts, finish.batch, finish.members = ARGV[first + 3], ARGV[first + 4], ARGV[first + 5]
  finish.results, finish.complete = ARGV[first + 6], ARGV[first + 7]
  finish.letter, finish.dead = ARGV[first + 8], ARGV[first + 9]
  finish.result_ttl_ms, finish.letter_ttl_ms = tonumber(ARGV[first + 10]), tonumber(ARGV[first + 11])
  local time = redis.call('TIME')
  finish.now_us = time[1] * 1000000 + time[2]
  finish.letters = 0
end

-- A lane that holds both kinds counts its interactive changes. Returns whether this one, which is about to end, was the
-- last: what is left of the lane is bulk.
function finish.one_less_urgent(head, job_id)
  if redis.call('HEXISTS', head, 'urgent') == 0 then return false end
  local payload = redis.pcall('GET', finish.job .. job_id)
  if type(payload) ~= 'string' or string.find(payload, IS_BULK, 1, true) then return false end
  if redis.call('HINCRBY', head, 'urgent', -1) > 0 then return false end
  redis.call('HDEL', head, 'urgent')
  return true
end

-- The batch of a job ID and its key, if there is such a batch.
function finish.batch_of(job_id)
  local batch_id = string.match(job_id, '^([^/]+)//')
  if not batch_id then return nil end
  local batch = finish.batch .. batch_id
  if redis.pcall('HEXISTS', batch, 'created') ~= 1 then return nil end
  return batch_id, batch
end

-- Completion is announced once, and again if something is added after all; what is not sealed and has ended only gets a life, for its producer may be dead.
function finish.look_if_complete(batch_id, batch)
  local state = redis.call('HMGET', batch, 'total', 'ended', 'sealed', 'complete')
  if tonumber(state[1] or 0) ~= tonumber(state[2] or 0) or state[4] then return end
  local results, members = finish.results .. batch_id, finish.members .. batch_id
  if state[3] then
    redis.call('HSET', batch, 'complete', math.floor(finish.now_us / 1000))
    local last = redis.pcall('XADD', results, '*', 'end', '1')
    if type(last) == 'string' then redis.call('HSET', batch, 'end', last) end
    redis.call('PUBLISH', finish.complete .. batch_id, batch_id)
  end
  for _, key in ipairs({batch, members, results}) do redis.call('PEXPIRE', key, finish.result_ttl_ms) end
end

local function keep_as_letter(job_id, lane, outcome)
  local size = redis.pcall('STRLEN', finish.job .. job_id)
  if type(size) ~= 'number' or size == 0 or size > LARGEST_LETTER then return false end
  redis.call('RENAME', finish.job .. job_id, finish.letter .. job_id)
  redis.call('PEXPIRE', finish.letter .. job_id, finish.letter_ttl_ms)
  local index = finish.dead .. outcome
  redis.pcall('ZADD', index, finish.now_us + finish.letters, lane .. ' ' .. job_id)   -- in the order of the lane
  redis.pcall('ZREMRANGEBYSCORE', index, '-inf', finish.now_us - finish.letter_ttl_ms * 1000)
  finish.letters = finish.letters + 1
  return true
end

function finish.of(job_id, lane, outcome, result)
  redis.call('SET', finish.result .. job_id, result, 'PX', finish.result_ttl_ms)
  redis.pcall('HINCRBY', finish.counts, outcome, 1)   -- pcall: no key of a wrong type may keep a change from ending
  if not (DEAD[outcome] and keep_as_letter(job_id, lane, outcome)) then redis.call('DEL', finish.job .. job_id) end
  redis.call('PUBLISH', finish.done .. job_id, job_id)
  local batch_id, batch = finish.batch_of(job_id)
  if not batch then return end
  redis.call('HINCRBY', batch, 'o:' .. outcome, 1)
  redis.call('HINCRBY', batch, 'ended', 1)
  redis.pcall('XADD', finish.results .. batch_id, '*', 'job', job_id, 'outcome', outcome)
  finish.look_if_complete(batch_id, batch)
end

return finish
