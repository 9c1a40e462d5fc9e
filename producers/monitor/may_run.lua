--[[
may_run: whether the Redis user that runs this script may run a command. Writes nothing.

Trying the command instead would leave a refusal in the server's ACL LOG, which operators watch for break-ins.
Atomic as every script is; it reads no key.

ARGV  1 and on: the command and its arguments
Reply 1: it may; 0: it may not; nil: unknown (a server before Redis 7.0, or one without this command)
]]
if not redis.acl_check_cmd then
  return nil
end
local known, allowed = pcall(redis.acl_check_cmd, unpack(ARGV))
if not known then
  return nil
end
return allowed and 1 or 0
