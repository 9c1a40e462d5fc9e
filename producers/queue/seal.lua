--[[
seal: close a batch to further changes. It is complete when all of its changes have finished.

Atomic so that the batch is announced as complete exactly once, by this script or by the one that finishes its last
change.

ARGV  1 batch ID   2 digest of the batch's content   3 priority   4 cancel: 1 to cancel the batch (2 and 3 are not used)
      5 number of changes rejected by a full lane: if above 0, changes may still be added to the batch
      6 TTL of results and of complete batches (ms)
Reply a VERDICT
]]
-- luacheck: read globals finish VERDICT
local batch_id, content, priority, is_cancel = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local batch = KEY.batch .. batch_id
local lane_full_count, result_ttl_ms = ARGV[5], tonumber(ARGV[6])
finish.begin(result_ttl_ms)
local now_ms = math.floor(finish.now_us / 1000)

local created, stored_content, sealed, complete, stored_lane_full_count =
  unpack(redis.call('HMGET', batch, 'created', 'content', 'sealed', 'complete', 'short'))
if is_cancel then
  if not created then return VERDICT.NO_BATCH end
  if complete and tonumber(stored_lane_full_count or 0) == 0 then return VERDICT.ALREADY_SEALED end   -- nothing is left
  redis.call('HSETNX', batch, 'cancelled', now_ms)
elseif not created then
  redis.call('HSET', batch, 'created', now_ms, 'content', content, 'priority', priority)
  redis.call('ZADD', KEY.batches, now_ms, batch_id)
elseif stored_content ~= content then
  return VERDICT.OTHER_CONTENT
end
redis.call('HSET', batch, 'short', is_cancel and 0 or lane_full_count)
if sealed then return VERDICT.ALREADY_SEALED end
redis.call('HSET', batch, 'sealed', now_ms)
finish.complete_batch_if_done(batch_id, batch)
return VERDICT.SEALED
