--[[
memory: whether Redis's memory is almost full. A part of the script that submits changes.

To measure takes 10 us of Redis. So every chunk does, and single changes by sampling; while the mark is there all do,
and the first that finds enough memory removes it.
Atomic with the submission so that no more than one chunk is accepted after each measurement.
]]
-- luacheck: read globals FULL_SETTING
local memory = {}

local SAMPLE = 20            -- one single change in this many measures
local MARK_TTL_MS = 60000

-- Return the share of `maxmemory` in use (percent), counted as Redis does; 0 if there is no limit or INFO is refused,
-- and if the server evicts keys, since its memory may then always be in use.
local function used_percent()
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' or not string.find(info, 'maxmemory_policy:noeviction', 1, true) then return 0 end
  local function bytes(field) return tonumber(string.match(info, '\n' .. field .. ':(%d+)') or 0) end
  local limit = bytes('maxmemory')
  return limit > 0 and 100 * (bytes('used_memory') - bytes('mem_not_counted_for_evict')) / limit or 0
end

-- Return the error that refuses a submission of `count` changes, nil if less than `full_percent` (a string) is in use.
-- `now_us` decides which single changes measure.
function memory.refusal(full_percent, count, now_us)
  local is_marked = redis.call('EXISTS', KEY.almost_full) == 1
  if not is_marked and now_us % SAMPLE >= count then return nil end
  local percent = used_percent()
  if percent < tonumber(full_percent) then
    if is_marked then redis.call('DEL', KEY.almost_full) end
    return nil
  end
  if not is_marked then redis.pcall('SET', KEY.almost_full, '1', 'PX', MARK_TTL_MS) end   -- a full Redis refuses it
  return redis.error_reply(string.format('OOM %d%% of maxmemory is in use, and changes are refused from %s%% on (%s)',
    percent, full_percent, FULL_SETTING))
end

return memory
