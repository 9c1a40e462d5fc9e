--[[
batch_ids: find the batch in a job ID. A part of every script that counts changes in their batches.

Atomic with the rest of its script so that a change is counted in the batch that its ID names; it reads no key.
]]
-- luacheck: read globals BATCH_MARK OLD_BATCH_MARK
local batch_ids = {}

-- Return the batch in a job ID, nil if it names none. As keyspace.batch_id_of: new IDs have no OLD_BATCH_MARK.
function batch_ids.find(job_id)
  local mark = string.find(job_id, OLD_BATCH_MARK, 1, true) or string.find(job_id, BATCH_MARK, 1, true)
  if mark and mark > 1 then return string.sub(job_id, 1, mark - 1) end
end

return batch_ids
