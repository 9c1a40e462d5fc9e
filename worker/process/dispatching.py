"""The dispatchers and the sessions of a worker while they run, one for each shard, and their stop.

A stop does not wait for a Redis that is away. What Redis is not told then it finds by itself: the session lapses, and
other workers take its lanes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from producers.transport.cancellation import cancel_and_wait
from worker.process.dispatcher import Dispatcher
from worker.queue.egress_shares import EgressShares
from worker.queue.redis_retry import RedisAvailability
from worker.queue.session import PART as RENEWAL
from worker.queue.session import Session

AWAY_S = 3.0
"""How long a stopping worker waits for a Redis that is away: if it is back soon, what was sent is settled."""

REPLY_S = 3.0
"""How long a stopping worker waits for a reply of Redis. One that serves replies within milliseconds."""

POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class ShardDispatch:
    """What serves one shard.

    Attributes:
        dispatcher: claims, and runs attempts.
        session: holds what was claimed.
        availability: whether Redis serves it.
    """

    dispatcher: Dispatcher
    session: Session
    availability: RedisAvailability

    @property
    def is_served(self) -> bool:
        """Whether Redis confirmed the session in time, and has not failed to since."""
        return self.session.is_trusted(self.session.session_id) and RENEWAL not in self.availability.problems


class Dispatching:
    """The dispatchers and sessions of a worker's shards, all running, and its shares of the egress."""

    def __init__(self, shards: Sequence[ShardDispatch], shares: EgressShares | None = None) -> None:
        """Start them; `shares` is None for a queue without shards."""
        self.shards = tuple(shards)
        self._tasks = [asyncio.create_task(one.dispatcher.run(), name="copytrade dispatcher") for one in shards]
        self._renewing = [asyncio.create_task(one.session.run(), name="copytrade session") for one in shards]
        if shares is not None:
            self._renewing.append(asyncio.create_task(shares.run(), name="copytrade shares"))

    @property
    def sessions(self) -> tuple[Session, ...]:
        """One for each shard."""
        return tuple(one.session for one in self.shards)

    def stop(self) -> None:
        """Claim nothing more in any shard."""
        for one in self.shards:
            one.dispatcher.stop()

    def raise_errors(self) -> None:
        """Raise the exception with which a dispatcher has ended, if one has."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def wait_until_drained(self) -> None:
        """Wait until nothing is left to do. No shard gets work from another, so they are looked at in turn."""
        for one in self.shards:
            await one.dispatcher.wait_until_drained()

    @property
    def is_served(self) -> bool:
        """Whether Redis serves every shard."""
        return all(one.is_served for one in self.shards)

    @property
    def patience_s(self) -> float:
        """How long to wait for a reply of Redis."""
        return REPLY_S if self.is_served else 0.0

    async def wait_for(self, tasks: Mapping[str, asyncio.Task[Any]], limit_s: float) -> None:
        """Wait until all tasks have ended; at most `limit_s`, and at most `AWAY_S` of it while Redis is away."""
        away_s = 0.0
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                # arq's poll, which has ended, would take those that have ended out of its tasks
                while (running := {task for task in tasks.values() if not task.done()}) and away_s < AWAY_S:
                    await asyncio.wait(running, timeout=POLL_S)
                    away_s = 0.0 if self.is_served else away_s + POLL_S

    async def finish_claiming(self) -> None:
        """Wait for a claim that is under way: its lanes are requeued at once only if its reply is handled."""
        await asyncio.wait(self._tasks, timeout=self.patience_s)
        await _cancel_all(self._tasks)

    async def end_session(self) -> None:
        """End the sessions that hold nothing, and wake other workers.

        Raises:
            RedisError: Redis did not answer.
        """
        await self._in_each_shard([one.dispatcher.wake_other_worker() for one in self.shards])
        await self.stop_renewing()
        await self._in_each_shard([one.session.close() for one in self.shards])

    async def _in_each_shard(self, calls: Sequence[Coroutine[object, object, object]]) -> None:
        await at_most(self.patience_s, _all_of(calls))

    async def stop_renewing(self) -> None:
        """Let the sessions lapse."""
        await _cancel_all(self._renewing)


async def _all_of(calls: Sequence[Coroutine[object, object, object]]) -> None:
    """Run calls at once. The first error is raised when all have ended."""
    errors = [error for error in await asyncio.gather(*calls, return_exceptions=True) if error]
    for error in errors:
        if isinstance(error, BaseException):
            raise error


async def _cancel_all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*(cancel_and_wait(task) for task in tasks))


async def at_most(limit_s: float, call: Coroutine[object, object, object]) -> None:
    """Run a call, and give it up after a time. Its errors are raised."""
    task = asyncio.create_task(call)
    await asyncio.wait({task}, timeout=limit_s)
    if task.done():
        task.result()
    else:
        await cancel_and_wait(task)
