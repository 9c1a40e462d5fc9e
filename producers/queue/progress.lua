--[[
progress: where a batch is, and when it will have ended.

The estimate follows from the buckets: its deepest lane at its user's pace, the rest at the pace of all egresses that
were used of late, and neither before the holds end; an egress whose breaker is open sends nothing. Atomic so that the counters are those of one moment; it writes
nothing.

KEYS  1 batch   2 egresses   3 paused   4 rates
ARGV  1 lane prefix   2 bucket prefix   3 bucket suffix   4 egress prefix   then the fields of the batch to tell
Reply {eta (ms; -1 unknown or paused), the fields' values, each "" if it is not there}
]]
local batch, egresses, paused, rates = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lane_prefix, bucket_prefix, bucket_suffix, egress_prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fields = redis.call('HMGET', batch, 'created', 'total', 'ended', 'deepest lane', 'complete')

local function eta_us()
  local left = tonumber(fields[2] or 0) - tonumber(fields[3] or 0)
  if fields[5] or left == 0 then return 0 end
  if redis.call('HEXISTS', paused, 'everything') == 1 then return -1 end
  local user, trader = string.match(fields[4] or '', '^([^:]*):(.*)$')
  if user and redis.call('HEXISTS', paused, 'user:' .. user) + redis.call('HEXISTS', paused, 'trader:' .. trader) > 0
  then return -1 end
  local per_us, user_pace, hold = 0, nil, nil
  for _, name in ipairs(redis.call('SMEMBERS', egresses)) do
    local egress = redis.call('HMGET', egress_prefix .. name, 'pace', 'user pace', 'hold', 'open')
    if egress[1] and not egress[4] and redis.call('HEXISTS', paused, 'egress:' .. name) == 0 then
      per_us = per_us + 1 / tonumber(egress[1])
      user_pace = math.max(user_pace or 0, tonumber(egress[2]))
      local ends = tonumber(egress[3] or 0)
      hold = math.min(hold or ends, ends)   -- the first egress to be free again serves
    end
  end
  if per_us == 0 then return -1 end
  local held = math.max(0, hold - now)
  local rest = held + left / per_us
  if not user then return rest end
  local bucket = redis.call('HMGET', bucket_prefix .. user .. bucket_suffix, 'pace', 'hold')
  local override = tonumber(redis.call('HGET', rates, user) or 0)
  local own = override > 0 and override < math.huge   -- nor NaN
  local pace = own and 1000000 / override or tonumber(bucket[1] or user_pace)
  local user_held = math.max(held, tonumber(bucket[2] or 0) - now)
  return math.max(rest, user_held + redis.call('LLEN', lane_prefix .. fields[4]) * pace)
end

local eta = eta_us()
local reply = {eta < 0 and -1 or math.ceil(eta / 1000)}
for i, value in ipairs(redis.call('HMGET', batch, unpack(ARGV, 5))) do reply[i + 1] = value or '' end
return reply
