--[[
replace_record: put a user's record sealed with another key in place of the one that was read.

Atomic so that credentials that somebody sets meanwhile are never overwritten by what they were before.

KEYS  1 credentials
ARGV  1 user   2 the record that was read   3 the record that takes its place
Reply 1: replaced; 0: the user has another record by now, or none, and nothing was changed
]]
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
