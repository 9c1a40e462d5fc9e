"""The operations on the queue in Redis: plans without I/O, beside the Lua scripts that they run."""
