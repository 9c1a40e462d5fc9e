--[[
bucket: the leaky buckets of users. A part of every script that takes, confirms or reads slots.

A user's next slot is the latest of these:
  - now;
  - its last slot plus the pace. Slots follow from slots, not from claims, so that a late claim does not lower the rate;
    at most `catch_up` of the lateness is made up for;
  - the end of the window that the request `per_window` places back opened (the guard, see worker/queue/rate.py), and of
    those before it that the ring still has: it is longer after the rate was lowered. While one of them is in flight
    there is no next slot: its settlement, or its taking back, schedules the user again;
  - the end of a hold.
A user that was throttled has a longer pace for a while, see slowdown.lua.

A bucket is one string, a `StoredBucket` (bucket.py) in msgpack, so that the buckets of a run are read by one command.

All times are microseconds of Redis's clock. Atomic with the rest of its script so that no slot is given twice.
]]
-- luacheck: read globals clock BUCKET_SUFFIX BUCKET_TTL_MS LOOK_AHEAD FULL_PACE
-- luacheck: read globals read_StoredBucket list_StoredBucket
local bucket = {horizon = clock.now_us + LOOK_AHEAD}

local ENDED = 0                     -- a ring entry that delays nobody
local READ_SIZE = 1000              -- keys in one MGET

local now = clock.now_us
local buckets, changed = {}, {}     -- by user

local function key_of(user) return KEY.bucket .. user .. BUCKET_SUFFIX end

-- A new bucket starts from the Unix time in ms. An expired one had a lower number, at less than a slot a ms, so a very
-- late settlement does not change an entry of the new bucket.
local function new(user)
  return {user = user, slot_number = clock.now_ms, tat = 0, hold = 0, per_window = 0, window = 0, pace = 0,
    slowdown_permille = FULL_PACE, slowed_at = 0, faster_at = 0, faster_after = 0, is_recovering = 0,
    good_at = 0, waits = 0, since_bulk = 0, is_changing = 0, is_new = true, ring = {}, late = {}}
end

local function decode(user, packed)
  local is_read, values = pcall(cmsgpack.unpack, packed)
  if not is_read or type(values) ~= 'table' then return new(user) end
  local found = read_StoredBucket(values)
  if type(found.ring) ~= 'table' or type(found.late) ~= 'table' then return new(user) end
  found.user = user
  return found
end

-- Read the buckets of users. Those that were read before stay as they are.
function bucket.read(users)
  local keys, missing = {}, {}
  for _, user in ipairs(users) do
    if buckets[user] == nil then
      buckets[user] = false
      missing[#missing + 1], keys[#keys + 1] = user, key_of(user)
    end
  end
  for first = 1, #keys, READ_SIZE do
    local last = math.min(first + READ_SIZE - 1, #keys)
    for i, packed in ipairs(redis.call('MGET', unpack(keys, first, last))) do
      local user = missing[first + i - 1]
      buckets[user] = packed and decode(user, packed) or new(user)
    end
  end
end

function bucket.of(user)
  if not buckets[user] then bucket.read({user}) end
  return buckets[user]
end

function bucket.mark_changed(found) changed[found.user] = found end

-- Return the place of a slot in the ring, below 1 if it is no longer there.
local function place(found, number) return number - found.slot_number + #found.ring + 1 end

-- Return what the ring has of a slot: the end of its window; or nil and the slot of a request in flight.
local function ring_entry(found, number)
  local entry = found.ring[place(found, number)] or ENDED
  if entry < 0 then return nil, -entry end
  return entry, nil
end

local function set_ring_entry(found, number, entry)
  found.ring[place(found, number)] = entry
  changed[found.user] = found
end

-- Return the next slot of a user by the rate of the last claim (see pacing.lua); nil if it depends on a request in
-- flight. While the rate is changing, this may be too early: a claim must look.
function bucket.next_slot(found)
  if found.is_changing == 1 then return math.max(now, found.hold) end
  local slot = math.max(now, found.tat, found.hold)
  for i = 1, math.min(#found.ring, place(found, found.slot_number - found.per_window)) do
    if found.ring[i] < 0 then return nil end
    slot = math.max(slot, found.ring[i])
  end
  return slot
end

-- Return whether the request of a slot has not been confirmed, nor given back.
function bucket.is_in_flight(found, number)
  return select(2, ring_entry(found, number)) ~= nil
end

-- Record when the window ends that the request of a slot opened, at the latest.
function bucket.confirm(found, number, ends)
  if found.slot_number <= number or place(found, number) < 1 then return end
  set_ring_entry(found, number, math.max(ring_entry(found, number) or ENDED, ends))
end

-- Give back the slot of a request that was not sent. Return the slot, nil if it was settled before.
function bucket.give_back(found, number)
  if not bucket.is_in_flight(found, number) then return nil end
  local _, slot = ring_entry(found, number)
  set_ring_entry(found, number, ENDED)
  if found.slot_number == number + 1 then found.tat = slot end   -- no later slot was taken: the user gets it back
  return slot
end

-- Return whether the window of the request before a slot had ended at a time.
function bucket.window_before_ended(found, number, at)
  local ends = ring_entry(found, number - 1)
  return ends ~= nil and ends <= at
end

function bucket.hold(found, ends)
  found.hold = math.max(found.hold, ends)
  bucket.mark_changed(found)
end

function bucket.record_good_reply(found)
  found.good_at = now
  bucket.mark_changed(found)
end

-- Record until when a lost request of a lane may be applied, unless one may be later.
function bucket.set_late(found, trader, ends)
  local late = found.late
  for i = 1, #late, 2 do
    if late[i] == trader then
      ends = math.max(ends, late[i + 1])
      table.remove(late, i)
      table.remove(late, i)
      break
    end
  end
  table.insert(late, trader)
  table.insert(late, ends)
  bucket.mark_changed(found)
end

-- Return until when a lost request of a lane may be applied (us), 0 if that is over.
function bucket.late_until(found, trader)
  local late = found.late
  for i = 1, #late, 2 do
    if late[i] == trader and late[i + 1] > now then return late[i + 1] end
  end
  return 0
end

function bucket.set_waits(found, waits)
  if found.waits == waits then return end
  found.waits = waits
  bucket.mark_changed(found)
end

function bucket.set_since_bulk(found, count)
  found.since_bulk = count
  bucket.mark_changed(found)
end

-- Write a bucket, to be kept until the latest of its times has passed. Leave out what has ended, but not the latest end
-- of a window: at a lower rate the window is longer, and a request in flight behind it may not have been sent.
local function write(found)
  local ring, late = found.ring, found.late
  while ring[2] and ring[1] >= ENDED and ring[1] <= now and ring[2] >= ENDED do
    local ended = table.remove(ring, 1)
    ring[1] = math.max(ring[1], ended)
  end
  local latest = math.max(now, found.tat, found.hold, found.faster_at)
  for i = 1, #ring do latest = math.max(latest, math.abs(ring[i]) + found.window) end
  if #late > 0 then
    local current = {}
    for i = 1, #late, 2 do
      if late[i + 1] > now then
        table.insert(current, late[i])
        table.insert(current, late[i + 1])
        latest = math.max(latest, late[i + 1])
      end
    end
    found.late = current
  end
  redis.call('SET', key_of(found.user), cmsgpack.pack(list_StoredBucket(found)),
    'PX', math.ceil((latest - now) / 1000) + BUCKET_TTL_MS)
end

-- Write the buckets that have changed.
function bucket.save()
  for _, found in pairs(changed) do write(found) end
  changed = {}
end

return bucket
