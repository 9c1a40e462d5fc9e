"""Wake-ups: lists in Redis by which producers and workers tell a worker that a user has come due.

One list is for all workers, and one for each egress, for users that are pinned to it. A worker whose egress cannot
send, since it is paused or its breaker is open, leaves the first list to the others. It listens only to the list of its
egress, which also tells it when that has changed.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import cast

from redis.asyncio import Redis

from producers.contract.keyspace import escape
from producers.queue.wakeups import wake_egress, wake_worker
from producers.transport.clients import keyspace_of
from producers.transport.runner import execute


class Wakeups:
    """The wake-ups that one worker waits for and passes on."""

    def __init__(self, redis: Redis, egress: str, timeout_s: float) -> None:
        """Create them for a worker with an egress; a wait takes at most `timeout_s`."""
        self._redis = redis
        self._timeout_s = timeout_s
        self._egress = egress
        self._keys = keyspace_of(redis)
        self._lists = [self._keys.egress_wakeups + escape(egress), self._keys.wakeups]
        self._is_blocked = False

    async def wait(self) -> bool:
        """Return whether a wake-up for this worker arrived within the time-out.

        Raises:
            redis.exceptions.RedisError: Redis did not answer.
        """
        lists = self._lists[:1] if self._is_blocked else self._lists
        # redis-py types a blocking pop for both its clients at once
        pop = self._redis.blpop(lists, self._timeout_s)  # type: ignore[arg-type]  # Redis 6 takes a float
        popped = await cast("Awaitable[tuple[bytes, bytes] | None]", pop)
        if popped is None:
            return False
        if self._is_blocked and popped[0].decode() == self._keys.wakeups:
            await self.wake_other()  # it was waited for before the egress was blocked
            return False
        return True

    async def wake_other(self, *, has_pinned: bool = False) -> None:
        """Wake another worker, which claims what becomes due while this one cannot.

        Args:
            has_pinned: whether users may be pinned to the egress: another of its workers is woken too.
        """
        await execute(self._redis, wake_worker(self._keys))
        if has_pinned:
            await execute(self._redis, wake_egress(self._keys, self._egress))

    def set_blocked(self, *, is_blocked: bool) -> bool:
        """Take note of whether the egress cannot send. Return whether that has changed: `tell_others` then says so."""
        has_changed = is_blocked != self._is_blocked
        self._is_blocked = is_blocked
        return has_changed

    async def tell_others(self) -> None:
        """Wake the worker that the last change concerns.

        A wake-up may have led to the claim that found the egress blocked: another worker gets it. Of the workers of an
        egress that can send again, each wakes the next.
        """
        if self._is_blocked:
            await self.wake_other()
        else:
            await execute(self._redis, wake_egress(self._keys, self._egress))
