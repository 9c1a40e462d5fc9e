"""docket (pydocket) by its own limit, with a check every 10 ms.

By its documentation (docket.lol, "Task Behaviors": "Rate Limiting" and "Retrying Tasks"), `RateLimit(10, per=...)` on a
parameter admits ten tasks of each value in any sliding second, and puts the others off until a place is free. It counts
when a task starts, not when its request arrives. What the exchange refuses all the same is retried by `Retry`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated, Any

from docket import Retry, Worker
from docket.dependencies import RateLimit
from docket_jobs import QUICK, DocketQueue, exchange
from protocol import REDIS_URL, Change, ready, run
from throttled import MAX_TRIES, RETRY_S, apply_or_raise


async def apply(
    user: Annotated[str, RateLimit(10, per=timedelta(seconds=1))],  # noqa: ARG001 - its limit is what counts
    change: Change,
    retry: Retry = Retry(attempts=MAX_TRIES, delay=timedelta(seconds=RETRY_S)),  # noqa: ARG001, B008 - docket reads it
) -> dict[str, Any]:
    """Do the job; fail if it was refused."""
    return await apply_or_raise(exchange(), change)


tasks = [apply]
"""What a worker is to know, by name."""


class LimitedDocketQueue(DocketQueue):
    """The queue of docket, with a limit of each user."""

    def work(self) -> None:
        """Run docket's worker."""
        ready()
        options = QUICK | {"scheduling_resolution": timedelta(milliseconds=10)}  # for tasks that were put off
        asyncio.run(Worker.run(url=REDIS_URL, tasks=["docket_limited:tasks"], **options))

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue all in one call."""
        self._docket.register(apply)
        await self._docket.add_many(self._docket.call(apply)(change["userId"], change) for change in changes)


if __name__ == "__main__":
    run(LimitedDocketQueue())
