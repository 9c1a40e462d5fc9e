--[[
payloads: read what the changes of a run are to send. A part of the claim script.

The payloads of all changes are read by one command at the end; a template is read once a batch. Payloads are elements
of the reply after the first; a message names them by their number, with 0 for one that is absent, no string or too
large.
Atomic with the claim so that a change that was claimed has its payload.
]]
-- luacheck: read globals batches MAX_PAYLOAD_BYTES
local payloads = {templates = {}}   -- the number of each template among the elements

local READ_SIZE = 1000        -- keys in one MGET

local elements = {''}         -- of the reply; the first is the packed message
local wanted, keys = {}, {}   -- the rows that want a payload, and the keys of these
local runs_of = {}            -- batch -> {number of its template, its runs}

-- Add bytes to the reply. Return their number.
function payloads.add(bytes)
  elements[#elements + 1] = bytes
  return #elements - 1
end

local function read_template(batch_id)
  local stored, runs = unpack(redis.pcall('HMGET', KEY.batch .. batch_id, 'template', 'runs'))
  local found = {number = 0, runs = {}}
  for at_ms, ttl_ms in string.gmatch(runs or '', '(%d+),(%d+)') do
    found.runs[#found.runs + 1] = {enqueued_ms = tonumber(at_ms), ttl_ms = tonumber(ttl_ms)}
  end
  if stored then
    payloads.templates[#payloads.templates + 1] = payloads.add(stored)
    found.number = #payloads.templates
  end
  return found
end

-- Set `payload`, `template`, `enqueued_ms` and `ttl_ms` of a row: of a template's change by its batch, of another by
-- `read`.
function payloads.want(row, entry)
  row.payload, row.template, row.enqueued_ms, row.ttl_ms = 0, 0, 0, 0
  local batch_id = entry.run ~= '' and batches.id_of(entry.job_id)
  if batch_id then
    runs_of[batch_id] = runs_of[batch_id] or read_template(batch_id)
    local run = runs_of[batch_id].runs[tonumber(entry.run)]
    if run then
      row.template, row.enqueued_ms, row.ttl_ms = runs_of[batch_id].number, run.enqueued_ms, run.ttl_ms
    end
  else
    wanted[#wanted + 1], keys[#keys + 1] = row, KEY.job .. entry.job_id
  end
  return row
end

-- Read the payloads that are wanted.
function payloads.read()
  for first = 1, #keys, READ_SIZE do
    local last = math.min(first + READ_SIZE - 1, #keys)
    for i, payload in ipairs(redis.call('MGET', unpack(keys, first, last))) do
      local is_usable = payload and #payload > 0 and #payload <= MAX_PAYLOAD_BYTES
      wanted[first + i - 1].payload = is_usable and payloads.add(payload) or 0
    end
  end
end

-- Return how many payloads are wanted so far.
function payloads.count() return #wanted end

-- Return the elements of the reply.
function payloads.reply(packed)
  elements[1] = packed
  return elements
end

return payloads
