"""The dispatcher and the session of a worker while they run, and their stop.

A stop does not wait for a Redis that is away. What Redis is not told then it finds by itself: the session lapses, and
other workers take its lanes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from producers.transport.cancellation import cancel_and_wait
from worker.process.dispatcher import Dispatcher
from worker.queue.redis_retry import RedisAvailability
from worker.queue.session import PART as RENEWAL
from worker.queue.session import Session

AWAY_S = 3.0
"""How long a stopping worker waits for a Redis that is away: if it is back soon, what was sent is settled."""

REPLY_S = 3.0
"""How long a stopping worker waits for a reply of Redis. One that serves replies within milliseconds."""

POLL_S = 0.1


class Dispatching:
    """A dispatcher and its session, both running.

    Attributes:
        dispatcher: claims, and runs attempts.
        session: holds what was claimed.
        task: runs the dispatcher.
    """

    def __init__(self, dispatcher: Dispatcher, session: Session, availability: RedisAvailability) -> None:
        self.dispatcher = dispatcher
        self.session = session
        self.task = asyncio.create_task(dispatcher.run(), name="copytrade dispatcher")
        self._availability = availability
        self._renewing = asyncio.create_task(session.run(), name="copytrade session")

    @property
    def is_served(self) -> bool:
        """Whether Redis confirmed the session in time, and has not failed to since."""
        return self.session.is_trusted(self.session.session_id) and RENEWAL not in self._availability.problems

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
        await asyncio.wait({self.task}, timeout=self.patience_s)
        await cancel_and_wait(self.task)

    async def end_session(self) -> None:
        """End the session, if it holds nothing, and wake another worker.

        Raises:
            RedisError: Redis did not answer.
        """
        await at_most(self.patience_s, self.dispatcher.wake_other_worker())
        await self.stop_renewing()
        await at_most(self.patience_s, self.session.close())

    async def stop_renewing(self) -> None:
        """Let the session lapse."""
        await cancel_and_wait(self._renewing)


async def at_most(limit_s: float, call: Coroutine[object, object, object]) -> None:
    """Run a call, and give it up after a time. Its errors are raised."""
    task = asyncio.create_task(call)
    await asyncio.wait({task}, timeout=limit_s)
    if task.done():
        task.result()
    else:
        await cancel_and_wait(task)
