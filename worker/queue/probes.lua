--[[
probes: choose the users that an open breaker may probe. A part of the claim script.

Users that are not affected (see breaker.lua) come first. While the egress is throttled, those with a good reply in the
last minute come before the others: if they are throttled, it is hardly by their own limit. Affected users that are due
before them are set aside: they are claimed if no other user is due and their own pause is over, else postponed by at
most POSTPONED_MS. So a user behind any number of them is found page by page, and after the breaker closes they are due
soon.
Atomic with the claim so that a user that is postponed is not claimed meanwhile.
]]
-- luacheck: read globals clock breaker bucket schedule LOOK_AHEAD THROTTLED
local probes = {
  PAGE_SIZE = 500,    -- due users read by one claim: 1 to 2 ms if all of them are postponed
  MAX_TRIED = 33,     -- users that one claim tries; each costs ten times as much as one that is set aside
}

local POSTPONED_MS = 2000
local PROVEN_FOR = 60000000   -- us after a good reply

local affected = {}

local function is_affected(user)
  if affected[user] == nil then affected[user] = breaker.is_affected(user) end
  return affected[user]
end

-- Return "affected" for a user with the failure for which the breaker is open, "unproven" for one without a good reply
-- although that counts, nil for a good probe.
function probes.group_of(user)
  if is_affected(user) then return 'affected' end
  local is_proven = bucket.of(user).good_at > clock.now_us - PROVEN_FOR
  if breaker.reason == THROTTLED and not is_proven then return 'unproven' end
end

-- Return whether the pause of affected users is over.
function probes.may_probe_affected() return breaker.probe_at() <= bucket.horizon end

-- Make users due later; `entries` has {user, is_bulk} of each.
function probes.postpone(entries)
  local due = clock.now_ms + POSTPONED_MS
  if not probes.may_probe_affected() then
    due = math.min(due, math.ceil((breaker.probe_at() - LOOK_AHEAD) / 1000))
  end
  for _, entry in ipairs(entries) do schedule.set(entry.user, entry.is_bulk, due) end
end

return probes
