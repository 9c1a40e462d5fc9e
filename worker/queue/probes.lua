--[[
probes: choose the lanes that an open breaker may probe. A part of the claim script, after bucket.lua.

Lanes of users that are not affected (see breaker.lua) come first. While the egress is throttled, those with a good
reply in the last minute come before the others: if they are throttled, it is hardly by their own limit. Lanes of
affected users that are due before them are set aside: they are claimed if no other lane is due and their own pause is
over, else postponed by at most POSTPONED_MS. So a lane behind any number of them is found page by page, and after the
breaker closes they are due soon.
Atomic with the claim so that a lane that is postponed is not claimed meanwhile.
]]
-- luacheck: read globals bucket BUCKET_SUFFIX LOOK_AHEAD RESERVED THROTTLED
local probes = {
  PAGE_SIZE = 500,    -- due lanes read by one claim: 1 to 2 ms if all of them are postponed
  MAX_TRIED = 33,     -- lanes that one claim tries; each costs ten times as much as one that is set aside
}

local POSTPONED_MS = 2000
local PROVEN_FOR = 60000000   -- us after a good reply

local failures, affected   -- set by probes.begin

-- `failures_key`: the failures of the breaker's run.
function probes.begin(failures_key)
  failures, affected = failures_key, {}
end

local function is_affected(user)
  if affected[user] == nil then
    affected[user] = redis.call('HEXISTS', failures, bucket.breaker.reason .. ' ' .. user) == 1
  end
  return affected[user]
end

local function has_good_reply(user)
  local good_at = tonumber(redis.call('HGET', KEY.bucket .. user .. BUCKET_SUFFIX, 'good') or 0)
  return good_at > bucket.now - PROVEN_FOR
end

-- Return "affected" for a user with the failure for which the breaker is open, "unproven" for one without a good reply
-- although that counts, nil for a good probe.
function probes.group_of(user)
  if is_affected(user) then return 'affected' end
  if bucket.breaker.reason == THROTTLED and not has_good_reply(user) then return 'unproven' end
end

-- Return whether the pause of affected users is over.
function probes.may_probe_affected()
  return bucket.breaker.probe_at <= bucket.horizon
end

-- Make lanes due later, by one command for each schedule; `lanes` has {lane, score, schedule} in due order. A lane with
-- a reserved turn keeps its mark: its turn has come, and it need not wait for another one.
function probes.postpone(lanes)
  local due = math.floor(bucket.now / 1000) + POSTPONED_MS
  if not probes.may_probe_affected() then
    due = math.min(due, math.ceil((bucket.breaker.probe_at - LOOK_AHEAD) / 1000))
  end
  local commands = {}
  for _, entry in ipairs(lanes) do
    local lane, score, schedule = unpack(entry)
    local command = commands[schedule] or {'ZADD', schedule}
    commands[schedule] = command
    command[#command + 1] = due + (tonumber(score) % 1 == RESERVED and RESERVED or 0)
    command[#command + 1] = lane
  end
  for _, command in pairs(commands) do redis.call(unpack(command)) end
end

return probes
