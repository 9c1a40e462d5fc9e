"""All that a Redis holds."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

_READ: dict[str, tuple[Any, ...]] = {
    "string": ("GET",),
    "hash": ("HGETALL",),
    "set": ("SMEMBERS",),
    "list": ("LRANGE", 0, -1),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    "stream": ("XRANGE", "-", "+"),
}


async def contents(redis: Redis) -> dict[str, Any]:
    """All that Redis holds, and whether it will expire."""
    names = [key async for key in redis.scan_iter("*")]
    async with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.type(name)
        kinds = [kind.decode() for kind in await pipe.execute()]
        for name, kind in zip(names, kinds, strict=True):
            command, *rest = _READ[kind]
            pipe.execute_command(command, name, *rest)
            pipe.pttl(name)
        replies = await pipe.execute()
    return {
        name.decode(): (kind, value, ttl_ms >= 0)
        for name, kind, value, ttl_ms in zip(names, kinds, replies[::2], replies[1::2], strict=True)
    }
