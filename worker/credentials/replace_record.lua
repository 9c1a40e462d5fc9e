--[[
replace_record: replace a user's record by one that another key sealed.

Atomic so that credentials that are set between reading and writing the record are not overwritten by older ones.

ARGV  1 user ID   2 the record that was read   3 the new record
Reply 1: replaced; 0: nothing changed, because the user has another record or none
]]
if redis.call('HGET', KEY.credentials, ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEY.credentials, ARGV[1], ARGV[3])
return 1
