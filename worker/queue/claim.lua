--[[
claim: claim due lanes for a worker.

The script reads the due lanes by due time: interactive lanes first, with a share for bulk. It claims a lane if its user
has a slot within the look-ahead: it takes a slot of the user's bucket and one of the egress's (see bucket.lua), and
sets the lane's score to the end of its lease. If the worker dies, the lane is due then, and its next claim counts a
lost delivery. It postpones a lane that is paused, or whose slot is later. While the egress's breaker is open, it claims
one lane when a probe is due (see probes.lua), and the next when that one is settled or its lease ends. It claims a head
that several workers lost alone, so that no other lane is lost with it.
Atomic so that no slot is given twice and no two workers hold a lane.

ARGV  1 name of the egress   2 most lanes to claim   3 token (each claim gets <token>.<number of its row>)
      4 lease, counted from the slot (ms)   5 user pace (us per request)   6 requests per window   7 window (us)
      8 catch-up (us)   9 egress pace (us per request)   10 egress burst (us)   11 margin factor (see rate.py)
      12 time-out of a request (us): how long after its lease a lost request may be applied
Reply {now (ms), us until the next lane is due (-1: none is scheduled), rows...}; a row is one of
      {ROW.CLAIM, lane, job ID, us until the slot, slot number, lost deliveries of this head, payload, attempt history,
       {job ID, payload, ...} of the changes behind that may be sent with it, EGRESS_HEALTH, rejected-keys mark}
      {ROW.MALFORMED, lane, what was done about it, whether the lane cannot be read and was postponed (1 or 0)}
      An absent value is false, and so is a payload that is too large. A malformed lane name or head is removed and
      counted as "unreadable"; a lane whose keys have a wrong type is postponed for a minute.
]]
-- luacheck: read globals bucket probes batch_ids MAX_PAYLOAD_BYTES COALESCE_BYTES MAX_COALESCED BULK_SHARE
-- luacheck: read globals QUARANTINE_AFTER EGRESS_HEALTH ROW LOOK_AHEAD RESERVED
local egress_name, limit, token, lease_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local egress, failures, request_timeout = KEY.egress .. egress_name, KEY.failures .. egress_name, tonumber(ARGV[12])
local schedule, bulk_schedule = KEY.schedule, KEY.bulk_schedule
bucket.begin({
  egress = egress, pace = tonumber(ARGV[5]), per_window = tonumber(ARGV[6]), window = tonumber(ARGV[7]),
  catch_up = tonumber(ARGV[8]), egress_pace = tonumber(ARGV[9]), egress_burst = tonumber(ARGV[10]),
  margin_factor = tonumber(ARGV[11]), max_flight = lease_ms * 1000,
})

local POSTPONED_MS = 60000
local PAUSED_MS = 30000       -- a paused lane is due again after this; resuming makes it due sooner
local EXTRA_LANES = 32        -- lanes read beyond the limit, since some are only postponed
local NAME = '^[!-~]+$'       -- lane names and job IDs are printable ASCII without spaces
local MAX_ID_BYTES = 128
local NEXT, CLAIMED, CLAIMED_ALONE, NO_EGRESS_SLOT, STOP = 1, 2, 3, 4, 5   -- what became of a lane, see `claim`

local now, now_ms, breaker = bucket.now, math.floor(bucket.now / 1000), bucket.breaker
-- Return the us from now until a slot can be claimed.
local function until_claimable(slot) return slot - LOOK_AHEAD - now end

if breaker.is_open then
  if breaker.probe_unaffected_at > bucket.horizon then
    return {now_ms, until_claimable(breaker.probe_unaffected_at)}
  end
  limit = 1
  probes.begin(failures)
end
if bucket.egress_slot() > bucket.horizon then return {now_ms, until_claimable(bucket.egress_slot())} end
local has_pauses = redis.call('EXISTS', KEY.paused) == 1
local function is_paused(scope) return redis.call('HEXISTS', KEY.paused, scope) == 1 end
if has_pauses and (is_paused('everything') or is_paused('egress:' .. egress_name)) then
  return {now_ms, PAUSED_MS * 1000}
end

local function user_of(lane) return string.match(lane, '^[^:]*') end

local function is_lane_paused(lane)
  if not has_pauses then return false end
  local user, trader = string.match(lane, '^([^:]*):(.*)$')
  return user ~= nil and (is_paused('user:' .. user) or is_paused('trader:' .. trader))
end

local has_rejected_keys = redis.call('TYPE', KEY.rejected_keys).ok == 'hash'   -- a wrong type counts as absent
local failing_users = tonumber(redis.call('HGET', failures, 'n failing') or 0)

local function egress_health(user)
  if breaker.is_open then return EGRESS_HEALTH.PROBING end
  if failing_users > 0 and failing_users > redis.call('HEXISTS', failures, 'failing ' .. user) then
    return EGRESS_HEALTH.DEGRADED
  end
  return EGRESS_HEALTH.HEALTHY
end

local rows = {}

local function add_malformed(lane, done)
  redis.call('HINCRBY', KEY.counts, 'unreadable', 1)
  rows[#rows + 1] = {ROW.MALFORMED, lane, done, 0}
end

local function payload_of(job_id)
  local size = redis.pcall('STRLEN', KEY.job .. job_id)
  if type(size) ~= 'number' or size == 0 or size > MAX_PAYLOAD_BYTES then return false end
  return redis.call('GET', KEY.job .. job_id)
end

-- Return job ID and payload of the coalescable changes directly behind the head, up to the job ID `last`.
local function coalescable(list, last)
  local found = {}
  for _, job_id in ipairs(redis.call('LRANGE', list, 1, MAX_COALESCED)) do
    local payload = payload_of(job_id)
    if not payload or not string.match(job_id, NAME) or not string.find(payload, COALESCE_BYTES, 1, true) then break end
    found[#found + 1], found[#found + 2] = job_id, payload
    if job_id == last then break end
  end
  return found
end

-- Add a head to its batch's `in flight` count. Call it for the first claim only: a lost lease leaves the head counted.
local function count_in_flight(job_id)
  local batch_id = batch_ids.find(job_id)
  if not batch_id or redis.pcall('HEXISTS', KEY.batch .. batch_id, 'created') ~= 1 then return end
  redis.call('HINCRBY', KEY.batch .. batch_id, 'in flight', 1)
  redis.call('HSETNX', KEY.batch .. batch_id, 'started', now_ms)
end

-- Claim, postpone or remove one due lane of the schedule `source`. Return CLAIMED, or CLAIMED_ALONE if this claim must
-- have no other lane; NEXT if it was postponed or removed; NO_EGRESS_SLOT if the egress has no slot within the
-- look-ahead; STOP if the head is left for a claim that has no other lane.
local function claim(lane, has_reserved, source)
  if not string.match(lane, NAME) then
    redis.call('ZREM', source, lane)
    add_malformed(lane, 'not a lane name: removed from the schedule')
    return NEXT
  end
  local list = KEY.lane .. lane
  local job_id = redis.call('LINDEX', list, 0)
  if not job_id then
    redis.call('ZREM', source, lane)
    redis.call('ZREM', KEY.lanes, lane)
    return NEXT
  end
  if #job_id > MAX_ID_BYTES or not string.match(job_id, NAME) then
    redis.call('LPOP', list)
    add_malformed(lane, 'its head is not a job ID: removed')
    return NEXT
  end
  if is_lane_paused(lane) then
    redis.call('ZADD', source, now_ms + PAUSED_MS, lane)
    return NEXT
  end
  local user = bucket.for_lane(lane)
  if user.slot > bucket.horizon then
    redis.call('ZADD', source, bucket.postpone(user, has_reserved), lane)
    return NEXT
  end
  user.slot = math.max(user.slot, bucket.egress_slot())
  if user.slot > bucket.horizon then return NO_EGRESS_SLOT end
  local head = KEY.head .. lane
  local last_token, lost_before, history, last_coalescable, last_alone, last_lease = unpack(
    redis.call('HMGET', head, 'token', 'lapses', 'state', 'joins', 'solo', 'lease'))
  local lost_deliveries = tonumber(lost_before or 0) + (last_token and 1 or 0)
  if lost_deliveries >= QUARANTINE_AFTER and #rows > 0 then return STOP end
  if last_token then bucket.set_late(user, lane, tonumber(last_lease or now_ms) * 1000 + request_timeout) end
  bucket.take(user)
  local lease_ends_ms = math.ceil(user.slot / 1000) + lease_ms
  redis.call('ZADD', source, lease_ends_ms, lane)

  if not last_token then count_in_flight(job_id) end
  local has_others = last_coalescable and not last_alone and not bucket.is_late(user, lane)
  local behind = has_others and coalescable(list, last_coalescable) or {}
  local claim_token = token .. '.' .. (#rows + 1)
  redis.call('HSET', head, 'token', claim_token, 'lapses', lost_deliveries, 'held', 1 + #behind / 2,
    'lease', lease_ends_ms)
  rows[#rows + 1] = {
    ROW.CLAIM, lane, job_id, user.slot - now, user.slot_number, lost_deliveries, payload_of(job_id), history, behind,
    egress_health(user_of(lane)), has_rejected_keys and redis.call('HGET', KEY.rejected_keys, user_of(lane)),
  }
  if breaker.is_open then   -- time of the next probe if this one is never settled
    redis.call('HSET', egress, 'probe', claim_token, 'probe at', lease_ends_ms * 1000, 'fresh at', lease_ends_ms * 1000)
  end
  return lost_deliveries < QUARANTINE_AFTER and CLAIMED or CLAIMED_ALONE
end

-- Return the first due lanes of a schedule, each followed by its score.
local function due_lanes(key, count)
  return redis.call('ZRANGEBYSCORE', key, '-inf', now / 1000, 'WITHSCORES', 'LIMIT', 0, count)
end

local function count_due()
  return redis.call('ZCOUNT', schedule, '-inf', now / 1000) + redis.call('ZCOUNT', bulk_schedule, '-inf', now / 1000)
end

local function next_due_us()
  local earliest_ms = math.huge
  for _, key in ipairs({schedule, bulk_schedule}) do
    local _, score = unpack(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES'))
    if score then earliest_ms = math.min(earliest_ms, tonumber(score)) end
  end
  return earliest_ms < math.huge and math.max(0, math.floor(earliest_ms * 1000 - now)) or -1
end

local page_size = breaker.is_open and probes.PAGE_SIZE or limit + EXTRA_LANES
local interactive = due_lanes(schedule, page_size)
local bulk = due_lanes(bulk_schedule, breaker.is_open and page_size - #interactive / 2 or page_size)
local i, b = 1, 1   -- the next entry of each
local claims_since_bulk = bucket.claims_since_bulk
local claimed, tried = 0, 0
local wait_us   -- us until another lane may be claimable

-- Try to claim a lane. Return whether to try another one after it.
local function try(lane, score, source, bulk_waits)
  tried = tried + 1
  local is_readable, result = pcall(claim, lane, tonumber(score) % 1 == RESERVED, source)
  if not is_readable then
    redis.call('ZADD', source, now_ms + POSTPONED_MS, lane)
    rows[#rows + 1] = {ROW.MALFORMED, lane, 'one of its keys has a wrong Redis type: postponed', 1}
  elseif result == NO_EGRESS_SLOT then
    wait_us = math.max(0, until_claimable(bucket.egress_slot()))
  elseif result == STOP then
    wait_us = 0
  elseif result ~= NEXT then
    claimed = claimed + 1
    claims_since_bulk = source == bulk_schedule and 0 or claims_since_bulk + (bulk_waits and 1 or 0)
    if breaker.is_open then wait_us = lease_ms * 1000
    elseif result == CLAIMED_ALONE then wait_us = 0 end
  end
  return not wait_us
end

local later = {unproven = {}, affected = {}}   -- lanes that are no good probes, see probes.lua
local goes_on = true
while goes_on and claimed < limit and (i < #interactive or b < #bulk) do
  local bulk_waits = b < #bulk
  local source, lane, score = schedule, interactive[i], interactive[i + 1]
  if bulk_waits and (i > #interactive or claims_since_bulk >= BULK_SHARE - 1) then
    source, lane, score = bulk_schedule, bulk[b], bulk[b + 1]
    b = b + 2
  else
    i = i + 2
  end
  local group = breaker.is_open and probes.group_of(user_of(lane))
  if group then table.insert(later[group], {lane, score, source})
  else
    goes_on = try(lane, score, source, bulk_waits) and not (breaker.is_open and tried == probes.MAX_TRIED)
  end
end
for _, entry in ipairs(later.unproven) do
  if not goes_on or tried == probes.MAX_TRIED then break end
  goes_on = try(unpack(entry))
end
if goes_on and claimed == 0 and #later.affected > 0 then
  if probes.may_probe_affected() and count_due() == #later.affected then
    for _, entry in ipairs(later.affected) do
      if not try(unpack(entry)) or tried == probes.MAX_TRIED then break end
    end
  else
    probes.postpone(later.affected)
  end
end

if claimed > 0 then bucket.save_egress(egress_name, claims_since_bulk) end
if claimed == limit and not wait_us and (i < #interactive or b < #bulk) then wait_us = 0 end
wait_us = wait_us or next_due_us()
if wait_us == 0 and redis.call('LLEN', KEY.wakeups) == 0 then redis.call('LPUSH', KEY.wakeups, '1') end
return {now_ms, wait_us, unpack(rows)}
