--[[
finish: write the outcome of a change. A part of every script that finishes changes.

The result is stored, counted and announced; the payload is deleted, or kept as a dead letter. For a change of a batch,
the batch's counters, its stream of results and its completion follow. Atomic with the rest of its script so that a
change has exactly one outcome, and readers of counters, streams and results see the same.

`pcall` guards keys that many changes share: if such a key has a wrong type, or a counter is no number, the changes
must still finish.
]]
-- luacheck: read globals batch_ids
-- luacheck: read globals DEAD_OUTCOMES MAX_PAYLOAD_BYTES BULK_BYTES
local finish = {}

local dead_letters = 0   -- how many this run of the script has kept

-- Read the clock and set the TTLs. `result_ttl_ms` applies to results and complete batches; only scripts that finish
-- changes with one of DEAD_OUTCOMES need `dead_letter_ttl_ms`.
function finish.begin(result_ttl_ms, dead_letter_ttl_ms)
  finish.result_ttl_ms, finish.dead_letter_ttl_ms = result_ttl_ms, dead_letter_ttl_ms
  local seconds, micros = unpack(redis.call('TIME'))
  finish.now_us = seconds * 1000000 + micros
end

-- Take a change that is about to finish off its lane's count of interactive changes, which exists while the lane holds
-- both priorities. Return whether it was the last one: then the rest of the lane is bulk.
function finish.count_down_interactive(head, job_id)
  if redis.call('HEXISTS', head, 'urgent') == 0 then return false end
  local payload = redis.pcall('GET', KEY.job .. job_id)
  if type(payload) ~= 'string' or string.find(payload, BULK_BYTES, 1, true) then return false end
  if redis.call('HINCRBY', head, 'urgent', -1) > 0 then return false end
  redis.call('HDEL', head, 'urgent')
  return true
end

-- Return the batch ID and the batch's key, or nil if the change has no batch or the batch has expired.
function finish.find_batch(job_id)
  local batch_id = batch_ids.find(job_id)
  if not batch_id then return nil end
  local batch = KEY.batch .. batch_id
  if redis.pcall('HEXISTS', batch, 'created') ~= 1 then return nil end
  return batch_id, batch
end

-- Announce a sealed batch whose changes have all finished: once, and once more if changes are added to it afterwards.
-- One that is not sealed only gets a TTL, since its producer may have died.
function finish.complete_batch_if_done(batch_id, batch)
  local total, finished, sealed, complete =
    unpack(redis.call('HMGET', batch, 'total', 'ended', 'sealed', 'complete'))
  if tonumber(total or 0) ~= tonumber(finished or 0) or complete then return end
  local results, members = KEY.batch_results .. batch_id, KEY.batch_members .. batch_id
  if sealed then
    redis.call('HSET', batch, 'complete', math.floor(finish.now_us / 1000))
    local end_entry = redis.pcall('XADD', results, '*', 'end', '1')
    if type(end_entry) == 'string' then redis.call('HSET', batch, 'end', end_entry) end
    redis.call('PUBLISH', KEY.batch_complete .. batch_id, batch_id)
  end
  for _, key in ipairs({batch, members, results}) do redis.call('PEXPIRE', key, finish.result_ttl_ms) end
end

-- Return whether the payload was kept; one that is missing, too large or no string is not.
local function keep_as_dead_letter(job_id, lane, outcome)
  local size = redis.pcall('STRLEN', KEY.job .. job_id)
  if type(size) ~= 'number' or size == 0 or size > MAX_PAYLOAD_BYTES then return false end
  redis.call('RENAME', KEY.job .. job_id, KEY.dead_letter .. job_id)
  redis.call('PEXPIRE', KEY.dead_letter .. job_id, finish.dead_letter_ttl_ms)
  local index = KEY.dead_letters .. outcome
  redis.pcall('ZADD', index, finish.now_us + dead_letters, lane .. ' ' .. job_id)   -- in the order of the lane
  redis.pcall('ZREMRANGEBYSCORE', index, '-inf', finish.now_us - finish.dead_letter_ttl_ms * 1000)
  dead_letters = dead_letters + 1
  return true
end

-- Write the outcome of one change. The caller removes the change from its lane.
function finish.change(job_id, lane, outcome, result)
  redis.call('SET', KEY.result .. job_id, result, 'PX', finish.result_ttl_ms)
  redis.pcall('HINCRBY', KEY.counts, outcome, 1)
  if not (DEAD_OUTCOMES[outcome] and keep_as_dead_letter(job_id, lane, outcome)) then
    redis.call('DEL', KEY.job .. job_id)
  end
  redis.call('PUBLISH', KEY.job_done .. job_id, job_id)
  local batch_id, batch = finish.find_batch(job_id)
  if not batch then return end
  redis.pcall('HINCRBY', batch, 'o:' .. outcome, 1)
  redis.pcall('HINCRBY', batch, 'ended', 1)
  redis.pcall('XADD', KEY.batch_results .. batch_id, '*', 'job', job_id, 'outcome', outcome)
  finish.complete_batch_if_done(batch_id, batch)
end

return finish
