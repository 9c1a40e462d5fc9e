--[[
seal: close a batch to further changes. It is complete when all of its changes have finished. One that retries another
is noted in that one, for the other's readers.

Atomic so that the batch is announced as complete exactly once, by this script or by the one that finishes its last
change.

ARGV  1 the request, see SealRequest in batches.py
Reply a VERDICT; an error with the code LAYOUT if it would begin a batch in a queue of another layout
]]
-- luacheck: read globals clock batches layout input VERDICT
local MAX_RETRIES_BYTES = 2000   -- of the IDs of a batch's retries; later ones are not noted
local batch, is_cancel = KEY.batch .. input.batch_id, input.is_cancel == 1

-- Add a batch to those that retry another, unless that one has expired.
local function note_retry(origin, batch_id)
  if redis.call('HEXISTS', origin, 'created_at') == 0 then return end
  local noted = redis.call('HGET', origin, 'retried_as') or ''
  if #noted < MAX_RETRIES_BYTES and not string.find(noted .. ' ', ' ' .. batch_id .. ' ', 1, true) then
    redis.call('HSET', origin, 'retried_as', noted .. ' ' .. batch_id)
  end
end

local created, stored_content, sealed, completed, stored_lane_full_count =
  unpack(redis.call('HMGET', batch, 'created_at', 'content', 'sealed_at', 'completed_at', 'lane_full_count'))
if is_cancel then
  if not created then return VERDICT.NO_BATCH end
  if completed and tonumber(stored_lane_full_count or 0) == 0 then return VERDICT.ALREADY_SEALED end  -- nothing is left
  redis.call('HSETNX', batch, 'cancelled_at', clock.now_ms)
elseif not created then
  local wrong_layout = layout.refusal()
  if wrong_layout then return wrong_layout end
  redis.call('HSET', batch, 'created_at', clock.now_ms, 'content', input.content, 'priority', input.priority)
  redis.call('ZADD', KEY.batches, clock.now_ms, input.batch_id)
elseif stored_content ~= input.content then
  return VERDICT.OTHER_CONTENT
end
if input.retry_of ~= '' then note_retry(KEY.batch .. input.retry_of, input.batch_id) end
redis.call('HSET', batch, 'lane_full_count', is_cancel and 0 or input.lane_full_count)
if sealed then return VERDICT.ALREADY_SEALED end
redis.call('HSET', batch, 'sealed_at', clock.now_ms)
batches.complete_if_done(input.batch_id, input.result_ttl_ms)
return VERDICT.SEALED
