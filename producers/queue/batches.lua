--[[
batches: the counters of batches. A part of every script that changes how many changes of a batch wait, are in flight or
have finished.

What a script counts is added up and written once for each batch, by `save`. A batch that has expired counts nothing.
`pcall` guards keys that many changes share: if such a key has a wrong type, or a counter is no number, the changes must
still finish.
Atomic with the rest of its script so that readers of counters, streams and results see the same.
]]
-- luacheck: read globals clock BATCH_MARK OLD_BATCH_MARK
local batches = {}

local known, counts = {}, {}      -- by batch: {exists, is_cancelled, traceparent}; field -> number to add
local started, finished = {}, {}  -- by batch: whether a change of it was claimed, or has finished
local latest = {}                 -- by batch: the change that was put back for the latest time

-- Return the batch in a job ID, nil if it names none. As ids.batch_id_of: new IDs have no OLD_BATCH_MARK.
function batches.id_of(job_id)
  local mark = string.find(job_id, OLD_BATCH_MARK, 1, true) or string.find(job_id, BATCH_MARK, 1, true)
  if mark and mark > 1 then return string.sub(job_id, 1, mark - 1) end
end

local function look(id)
  if not known[id] then
    local found = redis.pcall('HMGET', KEY.batch .. id, 'created_at', 'cancelled_at', 'traceparent')
    known[id] = {exists = found[1] and true or false, is_cancelled = found[2] and true or false,
      traceparent = string.match(found[3] or '', '^[0-9a-f-]+$') or ''}
  end
  return known[id]
end

-- Return the batch that a change is counted in, nil if it has none or the batch has expired.
function batches.find(job_id)
  local id = batches.id_of(job_id)
  return id and look(id).exists and id or nil
end

-- Return whether a change is one of a batch that was cancelled.
function batches.is_cancelled(job_id)
  local id = batches.id_of(job_id)
  return id ~= nil and look(id).is_cancelled
end

-- Return the trace context of a change's batch, '' for none.
function batches.traceparent(job_id)
  local id = batches.id_of(job_id)
  return id and look(id).traceparent or ''
end

local function add(id, field, number)
  counts[id] = counts[id] or {}
  counts[id][field] = (counts[id][field] or 0) + number
end

-- Count a change's request as in flight (1), or no longer (-1).
function batches.count_in_flight(job_id, number)
  local id = batches.find(job_id)
  if not id then return end
  add(id, 'in_flight', number)
  if number > 0 then started[id] = true end
end

-- Count a finished change, and add it to the batch's stream of results.
function batches.count_finished(job_id, outcome)
  local id = batches.find(job_id)
  if not id then return end
  add(id, 'outcome_' .. outcome, 1)
  add(id, 'finished', 1)
  redis.pcall('XADD', KEY.batch_results .. id, '*', 'job', job_id, 'outcome', outcome)
  finished[id] = true
end

-- Record that a change was put back, not to be sent before a time (ms). The latest one of its batch is kept.
function batches.put_back(job_id, name, not_before)
  local id = batches.find(job_id)
  if not id or (latest[id] and latest[id].not_before >= not_before) then return end
  latest[id] = {job_id = job_id, name = name, not_before = not_before}
end

local function save_latest(id, change)
  local stored = redis.pcall('HGET', KEY.batch .. id, 'put_back_until')
  if tonumber(type(stored) == 'string' and stored or 0) > change.not_before then return end
  redis.pcall('HSET', KEY.batch .. id, 'put_back_until', change.not_before, 'put_back_job', change.job_id,
    'put_back_lane', change.name)
end

-- Announce a sealed batch whose changes have all finished: once, and once more if changes are added to it afterwards.
-- One that is not sealed only gets a TTL, since its producer may have died.
function batches.complete_if_done(id, result_ttl_ms)
  local batch = KEY.batch .. id
  local total, done, sealed, completed =
    unpack(redis.call('HMGET', batch, 'total', 'finished', 'sealed_at', 'completed_at'))
  if tonumber(total or 0) ~= tonumber(done or 0) or completed then return end
  local results, members = KEY.batch_results .. id, KEY.batch_members .. id
  if sealed then
    redis.call('HSET', batch, 'completed_at', clock.now_ms)
    local end_entry = redis.pcall('XADD', results, '*', 'end', '1')
    if type(end_entry) == 'string' then redis.call('HSET', batch, 'end_entry', end_entry) end
    redis.call('PUBLISH', KEY.batch_complete .. id, id)
  end
  for _, key in ipairs({batch, members, results}) do redis.call('PEXPIRE', key, result_ttl_ms) end
end

-- Write what was counted; the TTL (ms) is that of complete batches.
function batches.save(result_ttl_ms)
  for id, fields in pairs(counts) do
    for field, number in pairs(fields) do
      if number ~= 0 then redis.pcall('HINCRBY', KEY.batch .. id, field, number) end
    end
  end
  for id in pairs(started) do redis.pcall('HSETNX', KEY.batch .. id, 'started_at', clock.now_ms) end
  for id, change in pairs(latest) do save_latest(id, change) end
  for id in pairs(finished) do batches.complete_if_done(id, result_ttl_ms) end
  counts, started, finished, latest = {}, {}, {}, {}
end

return batches
