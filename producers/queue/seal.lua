--[[
seal: nothing more comes to a batch; it is complete when what it has has ended.

Atomic so that a batch whose last change ends at the same time is found complete by one of the two, and announced once.

KEYS  1 batch   2 batches
ARGV  1 batch ID   2 digest of its content   3 priority   4 cancelled: 1 or 0
      5 how many changes found their lane full: while there are any, the batch may be added to
      6 how long results are kept (ms)
Reply 1 sealed now, 0 it was sealed already, -1 there is no such batch (only when cancelled), -2 it is of other content
]]
-- luacheck: read globals finish
local batch, batches = KEYS[1], KEYS[2]
local batch_id, content, cancelled = ARGV[1], ARGV[2], ARGV[4] == '1'
finish.begin(tonumber(ARGV[6]))

local before = redis.call('HMGET', batch, 'created', 'content', 'sealed')
local now_ms = math.floor(finish.now_us / 1000)
if cancelled then
  if not before[1] then return -1 end
  redis.call('HSETNX', batch, 'cancelled', now_ms)
elseif not before[1] then
  redis.call('HSET', batch, 'created', now_ms, 'content', content, 'priority', ARGV[3])
  redis.call('ZADD', batches, now_ms, batch_id)
elseif before[2] ~= content then
  return -2
end
redis.call('HSET', batch, 'short', cancelled and 0 or ARGV[5])
if before[3] then return 0 end
redis.call('HSET', batch, 'sealed', now_ms)
finish.look_if_complete(batch_id, batch)
return 1
