--[[
slowdown: the pace of users that were throttled. A part of the settle script.

Atomic with the settlement so that one window of throttled requests slows a user once.
]]
-- luacheck: read globals clock bucket FULL_PACE
local slowdown = {}

local HALVE = 2.1                   -- factor of the pace; more than 2 allows for requests that are delayed differently
local MAX_SLOWDOWN_PERMILLE = 8000
local RECOVERY = 0.9                -- factor of the slowdown, for each step of the recovery
local FASTER_AFTER = 30000000       -- us; time without throttling before the next step
local MAX_FASTER_AFTER = 600000000

local now = clock.now_us

-- Slow a throttled user to about half its rate. If it was recovering, undo one step and double the wait for the next.
-- A request that was sent before the user was slowed down shows nothing.
function slowdown.slow_down(found, sent_at)
  if sent_at <= found.slowed_at then return end
  local wait = FASTER_AFTER
  if found.is_recovering == 1 then
    found.slowdown_permille = math.floor(found.slowdown_permille / RECOVERY)
    wait = math.min(2 * found.faster_after, MAX_FASTER_AFTER)
  else
    found.slowdown_permille = math.min(math.floor(HALVE * found.slowdown_permille), MAX_SLOWDOWN_PERMILLE)
  end
  found.faster_at, found.faster_after = math.max(found.hold, now) + wait, wait
  found.slowed_at, found.is_recovering = now, 0
  bucket.mark_changed(found)
end

-- Speed a slowed user up by a step, if the time for it has come.
function slowdown.speed_up(found)
  if found.slowdown_permille <= FULL_PACE or now < found.faster_at then return end
  found.slowdown_permille, found.is_recovering = math.floor(found.slowdown_permille * RECOVERY), 1
  found.faster_at = now + found.faster_after
  if found.slowdown_permille <= FULL_PACE then
    found.slowdown_permille, found.slowed_at, found.faster_at = FULL_PACE, 0, 0
    found.faster_after, found.is_recovering = 0, 0
  end
  bucket.mark_changed(found)
end

return slowdown
