-- The leaky bucket of one user, for a queue without one: gives each caller a slot of its own, in turn.
-- Input:  KEYS[1] where the next free slot is kept (Redis time, us); ARGV[1] the spacing of slots, us.
-- Reply:  us from now until the caller's slot.
-- Atomic: two callers must not get one slot.
local spacing_us = tonumber(ARGV[1])
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local slot_us = math.max(now_us, tonumber(redis.call('GET', KEYS[1]) or 0))
local wait_ms = math.ceil((slot_us + spacing_us - now_us) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', slot_us + spacing_us), 'PX', wait_ms)
return slot_us - now_us
