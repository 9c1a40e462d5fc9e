"""saq, which has no limit of its own: what the exchange refuses is retried.

By its documentation ("Jobs"), a job has one try by default; `retries` is the most of them, `retry_delay` the seconds
between two. A worker moves jobs that are due to the queue once a second. Jobs are enqueued one after another.
"""

from __future__ import annotations

from typing import Any

from protocol import Change, run
from saq_jobs import SaqQueue
from throttled import MAX_TRIES, RETRY_S, apply_or_raise


async def apply(ctx: dict[str, Any], *, change: Change) -> dict[str, Any]:
    """Do the job; fail if it was refused."""
    return await apply_or_raise(ctx["exchange"], change)


class LimitedSaqQueue(SaqQueue):
    """The queue of saq, with retries."""

    function = staticmethod(apply)

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue one change after another."""
        for change in changes:
            await self._queue.enqueue("apply", change=change, retries=MAX_TRIES, retry_delay=RETRY_S)


if __name__ == "__main__":
    run(LimitedSaqQueue())
