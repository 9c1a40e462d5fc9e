"""The whole content of a Redis, as text."""

from __future__ import annotations

from arq.connections import ArqRedis


async def dump(redis: ArqRedis) -> str:
    """Return every key and every value."""
    parts: list[bytes] = []
    async for key in redis.scan_iter():
        parts.append(key)
        match await redis.type(key):
            case b"string":
                parts.append(await redis.get(key) or b"")
            case b"list":
                parts += await redis.lrange(key, 0, -1)  # type: ignore[misc]
            case b"hash":
                parts += [part for pair in (await redis.hgetall(key)).items() for part in pair]  # type: ignore[misc]
            case b"zset":
                parts += await redis.zrange(key, 0, -1)
            case b"set":
                parts += await redis.smembers(key)  # type: ignore[misc]
            case b"stream":
                parts += [part for _, entry in await redis.xrange(key) for pair in entry.items() for part in pair]
            case other:
                raise AssertionError(f"{key!r} is of an unknown kind: {other!r}")
    return b"\n".join(parts).decode(errors="replace")
