--[[
finish: write the outcome of changes. A part of every script that finishes changes.

The result is stored, counted and announced; the payload is deleted, or kept as a dead letter. What is counted and
announced waits until the changes have left their lanes: `keep` says that they have, `discard` that they have not.
Atomic with the rest of its script so that a change has exactly one outcome.

`pcall` guards what many changes share, and what only announces: the changes must still finish.
]]
-- luacheck: read globals clock batches DEAD_OUTCOMES MAX_PAYLOAD_BYTES
local finish = {}

local result_ttl_ms, dead_letter_ttl_ms   -- set by finish.begin
local finished, kept, dead_count = {}, 0, 0   -- {job_id, outcome, payload to delete} of each; how many are kept

-- Set the TTLs of results and of dead letters (ms). Only scripts that finish changes with one of DEAD_OUTCOMES need the
-- second.
function finish.begin(results_ttl_ms, letters_ttl_ms)
  result_ttl_ms, dead_letter_ttl_ms = results_ttl_ms, letters_ttl_ms
end

-- Keep a change as a dead letter: its own payload, or the given one, for a change that has none. Return whether its
-- payload was moved; one that is missing, too large or no string is not kept.
local function keep_as_dead_letter(job_id, name, outcome, payload)
  local letter = KEY.dead_letter .. job_id
  if payload then
    redis.call('SET', letter, payload, 'PX', dead_letter_ttl_ms)
  else
    local size = redis.pcall('STRLEN', KEY.job .. job_id)
    if type(size) ~= 'number' or size == 0 or size > MAX_PAYLOAD_BYTES then return false end
    redis.call('RENAME', KEY.job .. job_id, letter)
    redis.call('PEXPIRE', letter, dead_letter_ttl_ms)
  end
  local index = KEY.dead_letters .. outcome
  redis.pcall('ZADD', index, clock.now_us + dead_count, name .. ' ' .. job_id)   -- in the order of the lane
  redis.pcall('ZREMRANGEBYSCORE', index, '-inf', clock.now_us - dead_letter_ttl_ms * 1000)
  dead_count = dead_count + 1
  return not payload
end

-- Write the outcome of one change of a lane. The caller removes the change from its lane. `payload`: what a dead letter
-- of a template's change keeps, nil for others.
function finish.change(job_id, name, outcome, result, payload)
  redis.call('SET', KEY.result .. job_id, result, 'PX', result_ttl_ms)
  local is_moved = DEAD_OUTCOMES[outcome] and keep_as_dead_letter(job_id, name, outcome, payload)
  finished[#finished + 1] = {job_id = job_id, outcome = outcome, payload = not is_moved and KEY.job .. job_id or nil}
end

function finish.keep() kept = #finished end

-- Forget the changes since the last `keep`: they are still in their lanes, and finish another time.
function finish.discard()
  for i = #finished, kept + 1, -1 do finished[i] = nil end
end

-- Count and announce the changes, and delete their payloads.
function finish.save()
  local counts, payloads = {}, {}
  for _, change in ipairs(finished) do
    counts[change.outcome] = (counts[change.outcome] or 0) + 1
    payloads[#payloads + 1] = change.payload
    redis.pcall('PUBLISH', KEY.job_done .. change.job_id, change.job_id)
    batches.count_finished(change.job_id, change.outcome)
  end
  for outcome, count in pairs(counts) do redis.pcall('HINCRBY', KEY.counts, outcome, count) end
  if #payloads > 0 then redis.call('DEL', unpack(payloads)) end
  batches.save(result_ttl_ms)
  finished, kept = {}, 0
end

return finish
