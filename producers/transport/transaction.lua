--[[
transaction: run commands with no others between them, in place of MULTI and EXEC, which a full Redis may refuse.

Redis 6.2 and 7.0 refuse every command in a MULTI while their memory is full, even a read; all versions refuse one that
may need memory. In a script they permit it after a first write that needs none: here the deletion of a key that never
exists. Atomic as MULTI is; but the first command that fails ends it.

ARGV  1 whether one of the commands writes: 1 or 0   then for each command: the number of its words, its words
Reply the reply to each command
]]
if ARGV[1] == '1' then redis.call('DEL', KEY.never) end

local replies = {}
local i = 2
while i <= #ARGV do
  local last = i + tonumber(ARGV[i])
  replies[#replies + 1] = redis.call(unpack(ARGV, i + 1, last))
  i = last + 1
end
return replies
