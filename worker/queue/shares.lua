--[[
shares: decide and read the shares of an egress. It runs in the home of a queue with shards.

The first call in an epoch decides the shares of the next one: they are those that it proposes. If the shares of the
present epoch were not decided, since no worker has called in the one before, it decides them too: so far every worker
used the floor, which is at most its share. A key that is not there tells nothing of what workers know: for this epoch
and the next one all shares are the floor, until nobody can know others. So it is for one epoch more if the clock was
set back, or a worker asks for longer epochs, for then those that others know may end later.
A home that was lost says the number of shards again, so that it accepts no program that has another.
Atomic so that all workers of the egress use the same shares.

ARGV  1 the request, see SharesRequest in share_exchange.py
Reply the message SharesReply of share_exchange.py

Fields of the shares of an egress: `epoch` number of the last epoch whose shares are decided; `shares` these, a list in
msgpack; `before` those of the epoch before; `epoch_us` length of an epoch, the longest that a worker asked for.
]]
-- luacheck: read globals clock input pack_reply KEEP_MS LAYOUT
local key = KEY.egress_shares .. input.egress
local count = #input.wanted
redis.call('SET', KEY.layout, LAYOUT .. '/' .. count, 'NX')

local function floors()
  local list = {}
  for i = 1, count do list[i] = input.floor end
  return list
end

local stored = redis.call('HMGET', key, 'epoch', 'shares', 'before', 'epoch_us')
local decided, epoch_us = tonumber(stored[1] or nil), tonumber(stored[4] or 0)
local is_readable = decided and epoch_us >= input.epoch_us
if not is_readable then epoch_us = input.epoch_us end
local epoch = math.floor(clock.now_us / epoch_us)
local shares, before
if is_readable then shares, before = cmsgpack.unpack(stored[2]), cmsgpack.unpack(stored[3]) end

local is_new = false
if not is_readable or #shares ~= count or decided > epoch + 2 then
  decided, shares, before, is_new = epoch + (decided and 2 or 1), floors(), floors(), true
elseif decided <= epoch then
  before, shares, is_new = decided == epoch and shares or input.wanted, input.wanted, true
  decided = epoch + 1
elseif decided == epoch + 2 then   -- the clock was set back a little
  shares, before = before, floors()
end
if is_new then
  redis.call('HSET', key, 'epoch', decided, 'shares', cmsgpack.pack(shares), 'before', cmsgpack.pack(before),
    'epoch_us', epoch_us)
  redis.call('PEXPIRE', key, math.max(KEEP_MS, math.ceil(4 * epoch_us / 1000)))
end
return pack_reply({now_us = clock.now_us, epoch_us = epoch_us, epoch = epoch, shares = before, next_shares = shares})
