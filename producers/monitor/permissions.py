"""What the ACL lets this Redis user do, asked without leaving a refusal in the server's ACL LOG."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.transport.clients import keyspace_of
from producers.transport.scripts import Script

_may_run = Script.load("producers.monitor", "may_run.lua")


async def may_run(redis: Redis, *command: str) -> bool:
    """Return whether this user may run a command; True if only trying it can tell.

    That is so before Redis 7.0, for a user who may not run scripts, and while Redis is away.
    """
    try:
        reply: int | None = await _may_run.run(redis, keyspace_of(redis), command)
    except RedisError:
        return True
    return reply != 0
