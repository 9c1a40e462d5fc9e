--[[
renew: open or renew a worker's session, give back what it lost, and take back the lanes of dead sessions.

Claims whose replies never came are given back with their slots, and what Redis still holds of claims that were settled
is put back. A renewal that `looks` reads all sessions: those that have lapsed are marked dead, and their lanes are
moved in chunks: each is due again at once, its delivery counts as lost, and its request counts as arriving until
ARRIVES_WITHIN after the session's end. The lane's next change waits until that request can no longer be applied. Parked
lanes of resumed traders are moved too. A reply with `has_more` asks to be called again at once.
Atomic so that a lane is taken back only while its session holds it, and once.

ARGV  1 the request, see RenewRequest in renewal.py
Reply the message RenewReply of renewal.py; `is_alive` is 0 if the session is dead or not known. An error with the code
      LAYOUT if another version wrote the queue
]]
-- luacheck: read globals clock bucket egress lane schedule session batches parking layout input pack_reply
-- luacheck: read globals CHUNK_SIZE ARRIVES_WITHIN TAKEN_TTL_MS
local left = CHUNK_SIZE      -- lanes that this run may still move

-- Make a lane that was in flight since a slot (us) due at once, before the user's lanes that became ready later.
local function make_due(head, slot)
  lane.write(head)
  lane.set_score(head, math.min(clock.now_ms, math.floor((slot or clock.now_us) / 1000)))
  batches.count_in_flight(head.job_id or '', -1)
end

-- Put back lanes that the renewed session holds; `free_slot` is told the user's bucket and what is held of each that
-- `is_wanted` by the number of its claim.
local function put_back(is_wanted, free_slot)
  local released, entries = {}, redis.call('HGETALL', KEY.held .. input.session)
  for i = 1, #entries, 2 do
    local name, token, slot, slot_number = entries[i], session.parse_held(entries[i + 1])
    if token and is_wanted(tonumber(string.match(token, '^%d+'))) then
      local user, trader = lane.split(name)
      free_slot(bucket.of(user), trader, slot, slot_number)
      local head = lane.read(user, trader)
      if head then make_due(head, slot) end
      schedule.update(user)
      released[#released + 1] = name
    end
  end
  session.release(input.session, released)
end

local function give_back_lost_claims()
  local lost = {}
  for _, number in ipairs(input.lost_claims) do lost[number] = true end
  egress.begin(input.egress, {egress_pace = input.egress_pace, egress_burst = 0, user_pace = 0})
  put_back(function(number) return lost[number] end, function(found, _, slot, slot_number)
    if bucket.give_back(found, slot_number) then egress.give_back(slot) end
  end)
  egress.save()
end

-- Record that a request of unknown fate counts as arriving until ARRIVES_WITHIN after a time (us), and may be applied
-- until `late_for` (ms) after it.
local function record_unknown(found, trader, slot, slot_number, ends_at, late_for)
  bucket.confirm(found, slot_number, math.max(slot, ends_at) + ARRIVES_WITHIN + found.window)
  bucket.set_late(found, trader, ends_at + late_for * 1000)
end

-- Put back what the session holds of claims that its worker has settled: Redis has lost its last writes, in a crash or
-- a failover, and these settlements with them.
local function put_back_settled()
  if redis.call('HLEN', KEY.held .. input.session) <= input.in_flight then return end
  put_back(function(number) return number <= input.settled_claims end, function(found, trader, slot, slot_number)
    record_unknown(found, trader, slot, slot_number, clock.now_us, input.late_for_ms)
  end)
end

local function take_back(dead, name, held)
  local user, trader = lane.split(name)
  local token, slot, slot_number = session.parse_held(held)
  if token then
    record_unknown(bucket.of(user), trader, slot, slot_number, session.end_us(dead.row), dead.row.late_for)
    redis.call('HSET', KEY.taken .. dead.id, name, token)
  end
  local head = lane.read(user, trader)
  if head then
    redis.pcall('HINCRBY', KEY.attempts .. name, 'lost_deliveries', 1)
    head.is_attempted = true
    make_due(head, slot)
  end
  schedule.update(user)
end

-- Move lanes of a dead session, up to `left`. Return whether it has none any more.
local function take_back_some(dead)
  local cursor, released, entries = '0', {}
  repeat   -- a page may be empty, although others are not
    cursor, entries = unpack(redis.call('HSCAN', KEY.held .. dead.id, cursor, 'COUNT', left))
  until #entries > 0 or cursor == '0'
  for i = 1, math.min(#entries, 2 * left), 2 do
    pcall(take_back, dead, entries[i], entries[i + 1])   -- a key of a wrong type must not end all renewals
    released[#released + 1] = entries[i]
  end
  session.release(dead.id, released)
  left = left - #released
  if #released > 0 then redis.call('PEXPIRE', KEY.taken .. dead.id, TAKEN_TTL_MS) end
  return redis.call('EXISTS', KEY.held .. dead.id) == 0
end

local wrong_layout = layout.refusal()
if wrong_layout then return wrong_layout end
local dead_sessions, sessions, has_more = session.renew(input.session, {opens = input.opens == 1, ttl = input.ttl_ms,
  late_for = input.late_for_ms, refused_claims = input.refused_claims, looks = input.looks == 1})
if not dead_sessions then return pack_reply({is_alive = 0, has_more = 0, sessions = 0}) end
if input.closes == 1 and redis.call('EXISTS', KEY.held .. input.session) == 0 then
  session.forget(input.session)
  return pack_reply({is_alive = 0, has_more = 0, sessions = 0})
end
if #input.lost_claims > 0 then give_back_lost_claims() end
put_back_settled()
for _, dead in ipairs(dead_sessions) do
  if left <= 0 then
    has_more = true
    break
  end
  if take_back_some(dead) then session.forget(dead.id) else has_more = true end
end
if left > 0 then has_more = parking.resume_some(left) or has_more end
local earliest = schedule.save()
bucket.save()
batches.save(0)
if earliest <= clock.now_ms then schedule.wake_workers() end
return pack_reply({is_alive = 1, has_more = has_more and 1 or 0, sessions = sessions})
