"""streaq, which has no limit of its own: what the exchange refuses is retried.

By its documentation ("Task", "Retrying tasks"), a task that raises `StreaqRetry(delay=...)` runs again after that, up
to `max_tries`, 3 by default.
"""

from __future__ import annotations

from typing import Any

import uvloop
from protocol import Change, run
from streaq import StreaqRetry
from streaq_jobs import StreaqQueue, worker
from throttled import MAX_TRIES, RETRY_S, ThrottledError, apply_or_raise


@worker.task(name="apply_limited", max_tries=MAX_TRIES)
async def apply(change: Change) -> dict[str, Any]:
    """Do the job; have it run again if it was refused."""
    try:
        return await apply_or_raise(worker.context.exchange, change)
    except ThrottledError:
        raise StreaqRetry(delay=RETRY_S) from None


class LimitedStreaqQueue(StreaqQueue):
    """The queue of streaq, with retries."""

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue all in one call."""
        await worker.enqueue_many([apply.enqueue(change) for change in changes])


if __name__ == "__main__":
    run(LimitedStreaqQueue(), uvloop.new_event_loop)
