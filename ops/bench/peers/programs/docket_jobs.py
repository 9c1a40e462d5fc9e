"""docket (pydocket), as it comes and with a check every 10 ms.

By its documentation (docket.lol: "Getting started", "Docket in Production", "Observability") and its source, 0.27:
the command `docket worker` runs 10 tasks at once by default, and acknowledges a task when it has ended. It waits for
the next in a blocking read of at most `--minimum-check-interval`, 0.1 s by default, and pauses for as long while all
of its tasks run. Results are stored by default, for 15 minutes. `add_many` sends many in pipelines.
`Execution.get_result` subscribes to the task's end.

PEERS_VARIANT=10ms: PEERS_JOBS_AT_ONCE, and a check every 10 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from typing import Any

from docket import Docket, ExecutionState, Worker
from job import Exchange
from protocol import JOBS_AT_ONCE, RECOVERY_S, REDIS_URL, VARIANT, Change, ready, run

QUICK: dict[str, Any] = {
    "concurrency": JOBS_AT_ONCE,
    "minimum_check_interval": timedelta(milliseconds=10),
}
if RECOVERY_S:
    QUICK["redelivery_timeout"] = timedelta(seconds=RECOVERY_S)
RUNS = "docket:runs:"


@cache
def exchange() -> Exchange:
    """Return the session, opened by the first job: a task has only its arguments."""
    return Exchange()


async def apply(change: Change) -> dict[str, Any]:
    """Do the job."""
    return await exchange().apply(change)


tasks = [apply]
"""What a worker is to know, by name."""


class DocketQueue:
    """The queue of docket."""

    _docket: Docket

    def work(self) -> None:
        """Run docket's worker as its command does, with the command's defaults."""
        options = QUICK if VARIANT == "10ms" else {}
        ready()
        asyncio.run(Worker.run(url=REDIS_URL, tasks=["docket_jobs:tasks"], **options))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect."""
        async with Docket(name="docket", url=REDIS_URL) as self._docket:
            self._docket.register(apply)
            yield

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue all in one call."""
        await self._docket.add_many(self._docket.call(apply)(change) for change in changes)

    async def call(self, change: Change, poll_s: float | None) -> object:  # noqa: ARG002 - it is notified
        """Enqueue one; its end is published."""
        execution = await self._docket.add(apply)(change)
        return await execution.get_result(timeout=timedelta(seconds=60))

    async def applied(self) -> AsyncIterator[bool]:
        """Read all results."""
        async with self._docket.redis() as redis:
            keys = {key async for key in redis.scan_iter(f"{RUNS}*", count=1000)}
        for key in keys:
            execution = await self._docket.get_execution(key.decode().removeprefix(RUNS))
            if execution is not None and execution.state is ExecutionState.COMPLETED:
                yield (await execution.get_result())["applied"]


if __name__ == "__main__":
    run(DocketQueue())
