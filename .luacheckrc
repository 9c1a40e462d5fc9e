-- Redis runs Lua 5.1 and gives scripts these names. What a script gets from the loader (shared parts and constants, see
-- producers/transport/scripts.py) it declares itself, in a "luacheck: read globals" line below its header.
stds.redis = {read_globals = {"redis", "ARGV", "KEY", "cjson", "cmsgpack", "struct", "bit"}}
std = "lua51+redis"
max_line_length = 120
