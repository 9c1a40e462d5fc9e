--[[
claim: put due changes in flight under a worker's session.

The script takes due users by due time: interactive ones first, with a share for bulk. Of a user that has a slot within
the look-ahead it claims the lane whose turn it is; inside one user, too, interactive lanes come first, with a share for
bulk. It takes a slot of the user's bucket and one of the egress's. A user without a slot is scheduled for it; a paused
user leaves the schedule until it is resumed; a lane of a paused trader is parked. While the egress's breaker is open,
one user is claimed when a probe is due (see probes.lua). A head that several workers lost is claimed alone, so that no
other lane is lost with it.
Atomic so that no slot is given twice and no two sessions hold a lane.

ARGV  1 the request, see ClaimRequest in claim_messages.py
Reply the message ClaimReply of claim_messages.py, then the payloads and histories that it names. A session that is
      dead, or a claim that was given up as lost meanwhile, gets `is_refused` 1; one that is late claims nothing, since
      its share of the egress may have ended (see worker/queue/epochs.py). A malformed name or head is removed
      and counted as "unreadable"; a user with a key of a wrong type is postponed for a minute.
]]
-- luacheck: read globals clock bucket egress breaker lane schedule session batches probes payloads input pack_reply
-- luacheck: read globals turns pacing MAX_PAYLOADS groups BULK_SHARE QUARANTINE_AFTER EGRESS_HEALTH LOOK_AHEAD
local POSTPONED_MS = 60000
local PAUSED_MS = 30000       -- a paused egress is claimed for again after this; resuming wakes a worker
local EXTRA_USERS = 32        -- users read beyond the limit, since some are only postponed
local NEXT, CLAIMED, CLAIMED_ALONE, NO_EGRESS_SLOT, STOP = 1, 2, 3, 4, 5   -- what became of a user, see `claim`

local now_ms, horizon = clock.now_ms, bucket.horizon
local rows, malformed, held = {}, {}, {}
local is_blocked = 0          -- 1 if the egress is paused or its breaker is open; 2 if nobody could be claimed to probe

local function reply(is_refused, next_due_us)
  payloads.read()
  local has_pinned = schedule.has_pinned(input.egress) and 1 or 0
  return payloads.reply(pack_reply({now_ms = now_ms, is_refused = is_refused, is_blocked = is_blocked,
    has_pinned = has_pinned, next_due_us = next_due_us, rows = rows, malformed = malformed,
    templates = payloads.templates}))
end

-- Return the us from now until a slot can be claimed.
local function until_claimable(slot) return math.max(0, slot - LOOK_AHEAD - clock.now_us) end

if not session.may_claim(input.session, input.number) then return reply(1, -1) end
if input.not_after > 0 and clock.now_us > input.not_after then return reply(0, 0) end
breaker.begin(input.egress, 0)
egress.begin(input.egress, {egress_pace = input.egress_pace, egress_burst = input.egress_burst, user_pace = input.pace})
if input.not_after > 0 then egress.follow_shorter_pace() end
pacing.begin({pace = input.pace, per_window = input.per_window, window = input.window,
  catch_up = input.catch_up, margin_factor = 1 + input.margin_ppm / 1000000})
local has_pauses = redis.call('EXISTS', KEY.paused) == 1
local function is_paused(scope) return has_pauses and redis.call('HEXISTS', KEY.paused, scope) == 1 end
local is_probing, is_egress_paused = breaker.is_open, is_paused('egress:' .. input.egress)
if is_probing or is_egress_paused then is_blocked = 1 end
if is_egress_paused or is_paused('everything') then return reply(0, PAUSED_MS * 1000) end
local limit = is_probing and 1 or input.limit
egress.await_other_paths(input.egress, input.pace, input.window)
if is_probing and breaker.probe_unaffected_at() > horizon then
  return reply(0, until_claimable(breaker.probe_unaffected_at()))
end
if egress.next_slot() > horizon then return reply(0, until_claimable(egress.next_slot())) end
local has_rejected_keys = redis.call('TYPE', KEY.rejected_keys).ok == 'hash'   -- a wrong type counts as absent

local function escaped(text)
  return (string.gsub(text, '[^!-~]', function(byte) return string.format('\\x%02x', string.byte(byte)) end))
end

local function add_malformed(name, done, is_postponed)
  malformed[#malformed + 1] = {name = escaped(name), done = done, is_postponed = is_postponed}
  if is_postponed == 0 then redis.call('HINCRBY', KEY.counts, 'unreadable', 1) end
end

turns.begin(is_paused, function(name, done) add_malformed(name, done, 0) end)

local function egress_health(user)
  if is_probing then return EGRESS_HEALTH.PROBING end
  return breaker.others_fail(user) and EGRESS_HEALTH.DEGRADED or EGRESS_HEALTH.HEALTHY
end

-- Return what a row tells beside its change. All that can fail on a key of a wrong type, or since the worker's user may
-- not, comes before anything is written, so that no lane is in flight without being held.
local function read_state(head, attempts)
  local mark = has_rejected_keys and redis.call('HGET', KEY.rejected_keys, head.user) or ''
  return {behind = groups.behind(head, attempts), egress_health = egress_health(head.user),
    mark = string.match(mark, '^[ -~]*$') or ''}
end

local function hold(head, found, slot)
  local token = input.number .. '.' .. (#rows + 1)
  held[#held + 1] = {name = head.name, token = token, slot = slot, slot_number = found.slot_number}
  if #held == 1 then session.hold(input.session, held) end   -- the others follow together
  return token
end

local function add_row(head, attempts, state, slot, token, slot_number, is_bulk, due_ms)
  local row = payloads.want({lane = head.name, job_id = head.job_id, token = token,
    wait_us = slot - clock.now_us, slot_number = slot_number, lost_deliveries = attempts.lost,
    history = attempts.history and payloads.add(attempts.history) or 0, behind = {},
    egress_health = state.egress_health, rejected_keys_mark = state.mark,
    is_cancelled = batches.is_cancelled(head.job_id) and 1 or 0, is_bulk = is_bulk and 1 or 0,
    late_ms = math.min(now_ms, math.max(0, math.floor(now_ms - due_ms))),
    traceparent = batches.traceparent(head.job_id)}, head)
  for i, entry in ipairs(state.behind) do row.behind[i] = payloads.want({job_id = entry.job_id}, entry) end
  rows[#rows + 1] = row
  batches.count_in_flight(head.job_id, 1)
end

-- Claim the lane of a user, due since a time (ms), whose turn it is, or schedule the user for later. Return CLAIMED, or
-- CLAIMED_ALONE if this claim must have no other lane; NEXT if the user was scheduled for later; NO_EGRESS_SLOT if the
-- egress has no slot within the look-ahead; STOP if the head is left for a claim that has no other lane.
local function claim(user, from_bulk, due_ms)
  if not lane.is_name(user) then
    schedule.set(user, from_bulk, nil)
    add_malformed(user, 'not a user: removed from the schedule', 0)
    return NEXT
  end
  if is_paused('user:' .. user) then
    schedule.set(user, from_bulk, nil)
    return NEXT
  end
  local found = bucket.of(user)
  local slot = pacing.slot(found)
  if not slot or slot > horizon then
    if not slot then bucket.set_waits(found, 1) end
    schedule.set(user, from_bulk, slot and math.ceil((slot - LOOK_AHEAD) / 1000))
    return NEXT
  end
  slot = math.max(slot, egress.next_slot())
  if slot > horizon then return NO_EGRESS_SLOT end
  local is_bulk = from_bulk or turns.is_bulk_turn(found, user)
  local head, next_ready = turns.next_head(user, is_bulk)
  if not head then
    schedule.put(user, is_bulk, next_ready)
    return NEXT
  end
  local attempts = groups.read(found, head)
  local is_suspect = attempts.lost >= QUARANTINE_AFTER
  if is_suspect and #rows > 0 then return STOP end
  if groups.must_wait(attempts) then
    lane.set_score(head, math.ceil(attempts.late_until / 1000))
    schedule.put(user, is_bulk, schedule.earliest(user, is_bulk))
    return NEXT
  end
  local state = read_state(head, attempts)
  groups.keep(head, attempts, state.behind)
  local token = hold(head, found, slot)
  local slot_number = pacing.take(found, slot)
  egress.take(slot)
  lane.set_score(head, lane.IN_FLIGHT)
  bucket.set_since_bulk(found, is_bulk and 0 or found.since_bulk + 1)
  add_row(head, attempts, state, slot, token, slot_number, is_bulk, due_ms)
  schedule.put(user, is_bulk, next_ready)
  -- A bucket that has expired may have noted that the user waits (see schedule.update).
  if is_bulk ~= from_bulk or found.is_new then
    schedule.put(user, not is_bulk, schedule.earliest(user, not is_bulk))
  end
  if is_probing then breaker.probe(input.session .. '.' .. token, slot + input.probe_lease) end
  return is_suspect and CLAIMED_ALONE or CLAIMED
end

local page_size = is_probing and probes.PAGE_SIZE + 1 or limit + EXTRA_USERS
local interactive = turns.due_users(false, input.egress, page_size)
local bulk = turns.due_users(true, input.egress, is_probing and math.max(0, page_size - #interactive) or page_size)
local has_all = #interactive + #bulk < page_size
-- Leave a user for the next claim: else no claim has all if the due users fill whole pages.
if is_probing and not has_all then table.remove(#bulk > 0 and bulk or interactive) end
local i, b = 1, 1   -- the next entry of each
local tried, claimed = 0, 0
local wait_us       -- us until another user may be claimable, if that ends the run

local users = {}
for _, entry in ipairs(interactive) do users[#users + 1] = entry.user end
for _, entry in ipairs(bulk) do users[#users + 1] = entry.user end
bucket.read(users)

-- Try to claim for a user. Return whether to try another one after it.
local function try(entry, bulk_waits)
  tried = tried + 1
  local is_readable, result = pcall(claim, entry.user, entry.is_bulk, entry.score)
  if not is_readable then
    schedule.set(entry.user, entry.is_bulk, now_ms + POSTPONED_MS)
    add_malformed(entry.user, 'one of its keys has a wrong Redis type: postponed', 1)
  elseif result == NO_EGRESS_SLOT then wait_us = until_claimable(egress.refilled_at())
  elseif result == STOP then wait_us = 0
  elseif result ~= NEXT then
    claimed = claimed + 1
    egress.count_claim(entry.is_bulk, bulk_waits)
    if is_probing then wait_us = input.probe_lease
    elseif payloads.count() > MAX_PAYLOADS then wait_us = 0   -- the next claim goes on
    elseif result == CLAIMED_ALONE then wait_us = 0 end
  end
  return not wait_us
end

local later = {unproven = {}, affected = {}}   -- users that are no good probes, see probes.lua
local goes_on = true
while goes_on and claimed < limit and (i <= #interactive or b <= #bulk) do
  local bulk_waits = b <= #bulk
  local entry = interactive[i]
  if bulk_waits and (not entry or egress.since_bulk() >= BULK_SHARE - 1) then
    entry, b = bulk[b], b + 1
  else
    i = i + 1
  end
  local group = is_probing and probes.group_of(entry.user)
  if group then table.insert(later[group], entry)
  else
    goes_on = try(entry, bulk_waits) and not (is_probing and tried == probes.MAX_TRIED)
  end
end
for _, entry in ipairs(later.unproven) do
  if not goes_on or tried == probes.MAX_TRIED then break end
  goes_on = try(entry)
end
if goes_on and claimed == 0 and #later.affected > 0 then
  if probes.may_probe_affected() and has_all and #later.affected == #users then
    for _, entry in ipairs(later.affected) do
      if not try(entry) or tried == probes.MAX_TRIED then break end
    end
  else
    probes.postpone(later.affected)
  end
end

session.hold(input.session, held)
if claimed > 0 then
  egress.save()
  egress.publish(input.egress, input.pace)
end
schedule.save()
bucket.save()
batches.save(0)
if claimed == limit and not wait_us and (i <= #interactive or b <= #bulk) then wait_us = 0 end
if is_probing and claimed == 0 then is_blocked = 2 end
wait_us = wait_us or turns.earliest_due_us(input.egress)
if wait_us == 0 then turns.wake_next(input.egress) end
return reply(0, wait_us)
