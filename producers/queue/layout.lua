--[[
layout: refuse a queue whose keys have another layout. A part of the scripts by which producers and workers begin.

A queue without a mark is new, unless it has keys that only earlier versions wrote; a new one is marked.
Atomic with the rest of its script so that nothing is written into a queue of another layout.
]]
-- luacheck: read globals LAYOUT
local layout = {}

-- Return the error that refuses the queue, nil if its layout is this one.
function layout.refusal()
  local found = redis.call('GET', KEY.layout)
  if found == LAYOUT then return nil end
  local old_keys = {KEY.old_schedule, KEY.old_bulk_schedule, KEY.old_rejected_keys, KEY.batches}
  if not found and redis.call('EXISTS', unpack(old_keys)) == 0 then
    redis.call('SET', KEY.layout, LAYOUT)
    return nil
  end
  local message = 'LAYOUT the queue has layout %s, and this program writes %s'
  return redis.error_reply(string.format(message, found or 1, LAYOUT))
end

return layout
