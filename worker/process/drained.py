"""Whether a shard has nothing left to do, for a worker that then ends."""

from __future__ import annotations

from redis.asyncio import Redis

from producers.contract.keyspace import escape
from producers.transport.clients import keyspace_of
from producers.transport.commands import HKEYS, HLEN, ZRANGE
from producers.transport.plan import Transaction
from producers.transport.runner import execute

CLOCK_ROW = b"clock"
"""The row of the table of sessions that is none (session.lua)."""


async def is_drained(redis: Redis, egress: str, unreadable: set[str]) -> bool:
    """Return whether no session has anything in flight, and the schedules contain only unreadable users.

    Args:
        redis: the shard.
        egress: whose pinned users count too.
        unreadable: users that cannot be claimed. Those that are not scheduled are removed from it.

    Raises:
        RedisError: Redis did not answer.
    """
    keys, known = keyspace_of(redis), len(unreadable)  # one more is read, so that another user is among them
    names = [f"{key}{pin}" for key in (keys.schedule, keys.bulk_schedule) for pin in ("", f":{escape(egress)}")]
    sessions = [name for name in await execute(redis, HKEYS(keys.sessions)) if name != CLOCK_ROW]
    in_schedules = Transaction(*[ZRANGE(name, 0, known) for name in names])
    in_flight = Transaction(*[HLEN(keys.held + name.decode()) for name in sessions])
    # All of one moment: else a lane could pass from a session to the schedule, or back, between two reads.
    moment = Transaction(in_schedules, in_flight, HKEYS(keys.sessions))
    schedules, held, sessions_now = await execute(redis, moment)
    if set(sessions_now) - {CLOCK_ROW, *sessions}:
        return False  # another worker began meanwhile
    scheduled = {user.decode(errors="backslashreplace") for users in schedules for user in users}
    if max(map(len, schedules)) <= known:  # else there may be more
        unreadable &= scheduled
    return scheduled <= unreadable and not any(held)
