"""The queue in Redis: each operation a plan, beside the Lua script that it runs. No I/O."""
