--[[
finish: how a change ends. A part of every script that ends changes: it stands before the script's own text.

The result is written, counted and announced, the payload removed or kept as a dead letter, and if the change was of a
batch, the batch's counters, stream of results and completion follow. Atomic with the rest of its script so that a
change has exactly one outcome, and readers of counters, streams and results see the same.
]]
-- luacheck: read globals JOB_PREFIX RESULT_PREFIX DONE_CHANNEL_PREFIX COUNTS_KEY BATCH_PREFIX MEMBERS_PREFIX
-- luacheck: read globals RESULTS_PREFIX COMPLETE_CHANNEL_PREFIX DEAD_LETTER_PREFIX DEAD_LETTERS_PREFIX
-- luacheck: read globals MAX_PAYLOAD_BYTES BULK_BYTES
local finish = {}

local DEAD = {rejected = true, unauthorized = true, exhausted = true}

-- Reads the clock. `result_ttl_ms`: how long results and finished batches are kept; `dead_letter_ttl_ms`: how long dead
-- letters are, only for scripts that make some.
function finish.begin(result_ttl_ms, dead_letter_ttl_ms)
  finish.result_ttl_ms, finish.dead_letter_ttl_ms = result_ttl_ms, dead_letter_ttl_ms
  local time = redis.call('TIME')
  finish.now_us = time[1] * 1000000 + time[2]
  finish.letters = 0
end

-- A lane that holds both kinds counts its interactive changes. Returns whether this one, which is about to end, was the
-- last: what is left of the lane is bulk.
function finish.one_less_urgent(head, job_id)
  if redis.call('HEXISTS', head, 'urgent') == 0 then return false end
  local payload = redis.pcall('GET', JOB_PREFIX .. job_id)
  if type(payload) ~= 'string' or string.find(payload, BULK_BYTES, 1, true) then return false end
  if redis.call('HINCRBY', head, 'urgent', -1) > 0 then return false end
  redis.call('HDEL', head, 'urgent')
  return true
end

-- The batch of a job ID and its key, if there is such a batch.
function finish.batch_of(job_id)
  local batch_id = string.match(job_id, '^([^/]+)//')
  if not batch_id then return nil end
  local batch = BATCH_PREFIX .. batch_id
  if redis.pcall('HEXISTS', batch, 'created') ~= 1 then return nil end
  return batch_id, batch
end

-- Completion is announced once, and again if something is added after all; what is not sealed and has ended only gets a life, for its producer may be dead.
function finish.look_if_complete(batch_id, batch)
  local state = redis.call('HMGET', batch, 'total', 'ended', 'sealed', 'complete')
  if tonumber(state[1] or 0) ~= tonumber(state[2] or 0) or state[4] then return end
  local results, members = RESULTS_PREFIX .. batch_id, MEMBERS_PREFIX .. batch_id
  if state[3] then
    redis.call('HSET', batch, 'complete', math.floor(finish.now_us / 1000))
    local last = redis.pcall('XADD', results, '*', 'end', '1')
    if type(last) == 'string' then redis.call('HSET', batch, 'end', last) end
    redis.call('PUBLISH', COMPLETE_CHANNEL_PREFIX .. batch_id, batch_id)
  end
  for _, key in ipairs({batch, members, results}) do redis.call('PEXPIRE', key, finish.result_ttl_ms) end
end

local function keep_as_letter(job_id, lane, outcome)
  local size = redis.pcall('STRLEN', JOB_PREFIX .. job_id)
  if type(size) ~= 'number' or size == 0 or size > MAX_PAYLOAD_BYTES then return false end
  redis.call('RENAME', JOB_PREFIX .. job_id, DEAD_LETTER_PREFIX .. job_id)
  redis.call('PEXPIRE', DEAD_LETTER_PREFIX .. job_id, finish.dead_letter_ttl_ms)
  local index = DEAD_LETTERS_PREFIX .. outcome
  redis.pcall('ZADD', index, finish.now_us + finish.letters, lane .. ' ' .. job_id)   -- in the order of the lane
  redis.pcall('ZREMRANGEBYSCORE', index, '-inf', finish.now_us - finish.dead_letter_ttl_ms * 1000)
  finish.letters = finish.letters + 1
  return true
end

function finish.of(job_id, lane, outcome, result)
  redis.call('SET', RESULT_PREFIX .. job_id, result, 'PX', finish.result_ttl_ms)
  redis.pcall('HINCRBY', COUNTS_KEY, outcome, 1)   -- pcall: no key of a wrong type may keep a change from ending
  if not (DEAD[outcome] and keep_as_letter(job_id, lane, outcome)) then redis.call('DEL', JOB_PREFIX .. job_id) end
  redis.call('PUBLISH', DONE_CHANNEL_PREFIX .. job_id, job_id)
  local batch_id, batch = finish.batch_of(job_id)
  if not batch then return end
  redis.call('HINCRBY', batch, 'o:' .. outcome, 1)
  redis.call('HINCRBY', batch, 'ended', 1)
  redis.pcall('XADD', RESULTS_PREFIX .. batch_id, '*', 'job', job_id, 'outcome', outcome)
  finish.look_if_complete(batch_id, batch)
end

return finish
