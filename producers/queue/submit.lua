--[[
submit: append a chunk of changes to their lanes.

While Redis's memory is almost full, a chunk with a new change is refused as a whole, and nothing is written.
A change is rejected if its ID was accepted before or is that of another app's job, if its lane is full, or if the dead
letter that it replays is gone. An ID that was accepted with other content gets a verdict of its own.
Otherwise its payload is stored, its entry goes to the end of its lane, and its user is scheduled. A change of a
template has no payload: its batch has the template, and when the changes of each run were enqueued.
Atomic so that a lane that is not empty is always covered (no wake-up can be lost), an ID is accepted once, and a batch
counts exactly what was added to it.

A chunk of a batch is rejected as a whole, and nothing is written, if the batch has other content or was cancelled. A
sealed batch rejects a chunk with a new change, unless changes of the batch were rejected before by a full lane.

ARGV  1 the request, see SubmitRequest in submit_messages.py   2 and on: payloads and the template
Reply {now (ms, Redis clock), then for each change its place in its lane (1 is the head) or a VERDICT};
      an error with the code OOM if memory is almost full, or LAYOUT if another version wrote the queue
]]
-- luacheck: read globals clock bucket lane schedule memory layout input
-- luacheck: read globals BATCH_MARK EMPTY_BATCH_TTL_MS VERDICT FUNCTION_BYTES DIGEST_BYTES MAX_PAYLOAD_BYTES
local batch_id, has_batch = input.batch_id, input.batch_id ~= ''
local batch, members = KEY.batch .. batch_id, KEY.batch_members .. batch_id
local results = KEY.batch_results .. batch_id
local flags = (input.is_bulk == 1 and 'b' or 'i') .. (input.is_coalescable == 1 and 'c' or '')

local added = {}                  -- members of the batch that this call adds
local is_member                   -- by member, of those that were added before
local ready = {}                  -- when the earliest new lane of each user is ready (ms)
local reply = {clock.now_ms}
local digests = {}                -- of the changes that this call has accepted, by ID
local deepest, deepest_lane = 0, nil

-- Return an argument of the script by its number, nil for 0.
local function bytes(number) return number > 0 and ARGV[number + 1] or nil end

local function member_of(job_id) return string.sub(job_id, #batch_id + #BATCH_MARK + 1) end

-- Read which changes are members of the batch. The members of a batch outlive its results.
local function read_members()
  local names = {}
  for i, change in ipairs(input.changes) do names[i] = member_of(change.job_id) end
  is_member = {}
  for i, found in ipairs(redis.call('SMISMEMBER', members, unpack(names))) do is_member[names[i]] = found == 1 end
end

-- Return whether any of the IDs has a job or a result: one command for all, since that is rare.
local is_any_id_used
local function has_used_ids()
  if is_any_id_used == nil then
    local keys = {}
    for _, change in ipairs(input.changes) do
      keys[#keys + 1], keys[#keys + 2] = KEY.job .. change.job_id, KEY.result .. change.job_id
    end
    is_any_id_used = redis.call('EXISTS', unpack(keys)) > 0
  end
  return is_any_id_used
end

local function beginning(key)
  local stored = redis.pcall('GETRANGE', key, 0, MAX_PAYLOAD_BYTES - 1)
  return type(stored) == 'string' and stored or ''
end

-- Return the verdict on an ID that has been used, nil if it has not. Other arq apps have keys of the same prefixes.
local function rejected_by_id(change)
  local digest = digests[change.job_id]
  if digest then return digest == change.digest and VERDICT.ALREADY_THERE or VERDICT.OTHER_CHANGE end
  local is_in_batch = has_batch and is_member[member_of(change.job_id)]
  -- The digest of the batch, or of the chunk, covers the content.
  if is_in_batch and (change.digest == '' or input.chunk ~= '') then return VERDICT.ALREADY_THERE end
  local job, result = KEY.job .. change.job_id, KEY.result .. change.job_id
  if not has_used_ids() or redis.call('EXISTS', job, result) == 0 then
    return is_in_batch and VERDICT.ALREADY_THERE or nil
  end
  local stored = beginning(job)
  if stored == '' then stored = beginning(result) end
  if not string.find(stored, FUNCTION_BYTES, 1, true) then return VERDICT.FOREIGN_ID end
  if has_batch and not is_in_batch then return nil end
  local has_digest = string.find(stored, DIGEST_BYTES, 1, true)   -- what earlier versions stored has none
  if has_digest and not string.find(stored, DIGEST_BYTES .. change.digest, 1, true) then return VERDICT.OTHER_CHANGE end
  return VERDICT.ALREADY_THERE
end

local function has_new_change()
  for _, change in ipairs(input.changes) do
    if not rejected_by_id(change) then return true end
  end
  return false
end

-- Return the verdict on the whole chunk, nil if the batch accepts it.
local function rejected_by_batch()
  local stored_content, sealed, cancelled, stored_digest, lane_full_count =
    unpack(redis.call('HMGET', batch, 'content', 'sealed_at', 'cancelled_at', input.chunk, 'lane_full_count'))
  if stored_content and stored_content ~= input.content then return VERDICT.OTHER_CONTENT end
  if input.chunk ~= '' and stored_digest and stored_digest ~= input.chunk_digest then return VERDICT.OTHER_CONTENT end
  -- The chunk before may be in flight still, or was refused by a full Redis; the digest of this one covers it too.
  local stored_previous = input.previous_chunk ~= '' and redis.call('HGET', batch, input.previous_chunk)
  if stored_previous and stored_previous ~= input.previous_digest then return VERDICT.OTHER_CONTENT end
  if cancelled then return VERDICT.CANCELLED end
  read_members()
  if not sealed or tonumber(lane_full_count or 0) > 0 then return nil end
  for _, change in ipairs(input.changes) do
    if not is_member[member_of(change.job_id)] then return VERDICT.SEALED end
  end
end

-- Return the flags of a change whose content is the batch's template: they name the run that it is enqueued by.
local run_flags, new_runs   -- `new_runs`: the batch's runs with this one, written if it adds a change
local function template_flags()
  if run_flags then return run_flags end
  local runs, run = redis.call('HGET', batch, 'runs') or '', 0
  for known in string.gmatch(runs, '%S+') do
    run = run + 1
    if known == input.run then
      run_flags = flags .. 't' .. run
      return run_flags
    end
  end
  new_runs = runs == '' and input.run or runs .. ' ' .. input.run
  run_flags = flags .. 't' .. (run + 1)
  return run_flags
end

local function make_ready(user, score)
  if lane.is_waiting(score) then ready[user] = math.min(score, ready[user] or math.huge) end
end

-- Commands that fail on a key of a wrong type come before the first write, so that no change is half stored.
local function accept(change)
  local verdict = rejected_by_id(change)
  if verdict then return verdict end
  local user, trader, job_id = change.user, change.trader, change.job_id
  local dead_letter = change.dead_letter ~= '' and KEY.dead_letter .. change.dead_letter
  if dead_letter and redis.call('EXISTS', dead_letter) == 0 then return VERDICT.DEAD_LETTER_GONE end
  local payload = bytes(change.payload)
  local change_flags = payload and flags or template_flags()
  local late_until = bucket.late_until(bucket.of(user), trader)
  local place, not_before = 1, math.max(clock.now_ms, math.ceil(late_until / 1000))
  if lane.begin(user, trader, change_flags, job_id, not_before) then
    make_ready(user, not_before)
  else
    local head = lane.read(user, trader)
    if head.changes >= input.lane_limit then return VERDICT.LANE_FULL end
    local score = lane.append(head, change_flags, job_id)
    if score then make_ready(user, score) end
    place = head.changes
  end
  if payload then redis.call('SET', KEY.job .. job_id, payload) end
  if dead_letter then redis.call('DEL', dead_letter) end
  local member = member_of(job_id)
  added[#added + 1], digests[job_id] = member, change.digest
  if place > deepest then deepest, deepest_lane = place, lane.name(user, trader) end
  return place
end

-- Remove up to two expired batches for each new one, so that the list of batches cannot grow for ever.
local function list_batch()
  redis.call('ZADD', KEY.batches, clock.now_ms, batch_id)
  for _, oldest in ipairs(redis.call('ZRANGE', KEY.batches, 0, 1)) do
    if redis.call('EXISTS', KEY.batch .. oldest) == 0 then redis.call('ZREM', KEY.batches, oldest) end
  end
end

local function count_in_batch()
  if #added == 0 then redis.call('DEL', KEY.never) end   -- a full Redis then permits what follows (see Script.load)
  redis.call('HSETNX', batch, 'content', input.content)
  redis.call('HSETNX', batch, 'priority', input.is_bulk == 1 and 'bulk' or 'interactive')
  if redis.call('HSETNX', batch, 'created_at', clock.now_ms) == 1 then list_batch() end
  if input.chunk ~= '' then redis.call('HSETNX', batch, input.chunk, input.chunk_digest) end
  if #added == 0 then
    if redis.call('HEXISTS', batch, 'total') == 0 then redis.call('PEXPIRE', batch, EMPTY_BATCH_TTL_MS) end
    return
  end
  if new_runs then
    redis.call('HSET', batch, 'runs', new_runs)
    redis.call('HSETNX', batch, 'template', bytes(input.template))
  end
  if input.traceparent ~= '' then redis.call('HSETNX', batch, 'traceparent', input.traceparent) end
  redis.call('HINCRBY', batch, 'total', #added)
  redis.call('SADD', members, unpack(added))
  if deepest > tonumber(redis.call('HGET', batch, 'deepest') or 0) then
    redis.call('HSET', batch, 'deepest', deepest, 'deepest_lane', deepest_lane)
  end
  for _, key in ipairs({batch, members, results}) do redis.call('PERSIST', key) end
  local end_entry = redis.call('HGET', batch, 'end_entry')
  if end_entry then   -- the batch was complete before this
    redis.call('XDEL', results, end_entry)
    redis.call('HDEL', batch, 'end_entry', 'completed_at')
  end
end

local wrong_layout = layout.refusal()
if wrong_layout then return wrong_layout end
local verdict_on_chunk = has_batch and rejected_by_batch()
if verdict_on_chunk then
  for _ = 1, #input.changes do reply[#reply + 1] = verdict_on_chunk end
  return reply
end
local refusal = memory.refusal(input.full_percent, #input.changes, clock.now_us)
if refusal and has_new_change() then return refusal end
local users = {}
for i, change in ipairs(input.changes) do users[i] = change.user end
bucket.read(users)
local ok, verdict_or_error = true, nil
for _, change in ipairs(input.changes) do
  ok, verdict_or_error = pcall(accept, change)
  if not ok then break end   -- the changes accepted before are still scheduled and counted
  reply[#reply + 1] = verdict_or_error
end
for user, at in pairs(ready) do
  -- A malformed bucket must not keep others off the schedule.
  if not pcall(schedule.offer, user, input.is_bulk == 1, at) then schedule.set(user, input.is_bulk == 1, at) end
end
schedule.save()
bucket.save()
if has_batch and (ok or #added > 0) then count_in_batch() end
schedule.wake_workers()
if not ok then error(verdict_or_error, 0) end
return reply
