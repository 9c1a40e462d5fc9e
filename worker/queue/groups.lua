--[[
groups: which changes go with a head as one request. A part of the claim script.

While the last request of a head may still be applied, its repetition carries the same changes: without them an old
value would follow a new one, and a newer one might be overwritten. If one of them was cancelled since, the rest may not
be the same, for a request holds ten settings and the next change may fit now; then the lane waits until that time is
over.
Atomic with the claim so that what is kept of a group is what is claimed.

Fields of `attempts:<lane>`: see `Keyspace.attempts`.
]]
-- luacheck: read globals bucket lane MAX_COALESCED
local groups = {}

-- Return what is known of a head's attempts; `late_until`: until when its last request may still be applied (us), or 0.
function groups.read(found, head)
  local late_until = bucket.late_until(found, head.trader)
  if not head.is_attempted then return {lost = 0, late_until = late_until} end
  local history, lost, alone_until, sent_until, is_torn = unpack(redis.call(
    'HMGET', KEY.attempts .. head.name, 'history', 'lost_deliveries', 'alone_until', 'sent_until', 'is_torn'))
  return {history = history, lost = math.floor(tonumber(lost or 0) or 0), alone_until = alone_until,
    sent_until = sent_until, is_torn = is_torn, late_until = late_until}
end

-- Return whether a head can be sent only when its last request can no longer be applied.
function groups.must_wait(attempts)
  return attempts.late_until > 0 and attempts.is_torn and not attempts.alone_until
end

-- Return the entries that may be sent with a head.
function groups.behind(head, attempts)
  if attempts.alone_until then return {} end
  local entries = lane.coalescable(head, MAX_COALESCED)
  if attempts.late_until > 0 then
    while #entries > 0 and entries[#entries].job_id ~= attempts.sent_until do table.remove(entries) end
  end
  return entries
end

-- Keep up to which change a request may carry changes; a repetition carries those of the request before it.
function groups.keep(head, attempts, behind)
  if attempts.late_until > 0 and attempts.sent_until then return end
  if attempts.is_torn then redis.call('HDEL', KEY.attempts .. head.name, 'is_torn') end
  local last = #behind > 0 and behind[#behind].job_id
  if not last or last == attempts.sent_until then return end
  redis.call('HSET', KEY.attempts .. head.name, 'sent_until', last)
  if head.is_attempted then return end
  head.is_attempted = true
  lane.write(head)
end

return groups
