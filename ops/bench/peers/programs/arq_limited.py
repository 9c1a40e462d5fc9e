"""arq, tuned, with a leaky bucket for each user, since it has no limit of its own.

The bucket is a Lua script in Redis (GCRA without a burst): each job asks it once for a slot, and a job that gets a 429
all the same asks for another. It has 256 jobs at once, as many as this project's worker, since waiting jobs keep their
places. Jobs are enqueued one after another, with IDs that sort, as arq orders those of the same
millisecond by their IDs.

PEERS_VARIANT=wait: a job waits for its slot, and keeps its place among the jobs at once meanwhile.
PEERS_VARIANT=wait-slower: the same with slots 2 % farther apart.
PEERS_VARIANT=retry: a job that has to wait ends by `Retry(defer=...)`, as arq's documentation ("Usage", "Retrying jobs
and cancellation") shows, and sends when it runs again.
PEERS_VARIANT=retry-slower: the same with slots 25 % farther apart.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from arq.worker import Retry, Worker, func
from arq_jobs import SETTINGS, TUNED, ArqQueue, start, stop
from job import Exchange
from protocol import VARIANT, Change, run
from throttled import MAX_TRIES, TOO_MANY_REQUESTS

BUCKET = Path(__file__).with_name("bucket.lua").read_text(encoding="utf-8")
SPACING_US = {"wait-slower": 102_000, "retry-slower": 125_000}.get(VARIANT, 100_000)
MANY = TUNED | {"max_jobs": 256}


async def wait_and_apply(ctx: dict[str, Any], change: Change) -> dict[str, Any]:
    """Wait for a slot and do the job, until it is not refused."""
    exchange: Exchange = ctx["exchange"]
    while True:
        await asyncio.sleep(await slot_s(ctx, change))
        result = await exchange.apply(change)
        if result["status"] != TOO_MANY_REQUESTS:
            return result


async def retry_and_apply(ctx: dict[str, Any], change: Change) -> dict[str, Any]:
    """End the first try unless its slot is now; do the job in the next."""
    exchange: Exchange = ctx["exchange"]
    if ctx["job_try"] == 1 and (wait_s := await slot_s(ctx, change)) > 0:
        raise Retry(defer=wait_s)
    result = await exchange.apply(change)
    if result["status"] == TOO_MANY_REQUESTS:
        raise Retry(defer=await slot_s(ctx, change))
    return result


async def slot_s(ctx: dict[str, Any], change: Change) -> float:
    """Take a slot of the user, and return the seconds until then."""
    return await ctx["redis"].eval(BUCKET, 1, f"bucket:{change['userId']}", SPACING_US) / 1_000_000


apply = retry_and_apply if VARIANT.startswith("retry") else wait_and_apply


class LimitedArqQueue(ArqQueue):
    """The queue of arq, in the order of the calls."""

    def work(self) -> None:
        """Run arq's worker."""
        functions = [func(apply, name="apply", max_tries=MAX_TRIES)]
        Worker(functions, redis_settings=SETTINGS, on_startup=start, on_shutdown=stop, **MANY).run()

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue one change after another."""
        for number, change in enumerate(changes):
            await self._pool.enqueue_job("apply", change, _job_id=f"{change['userId']}-{number:06}")


if __name__ == "__main__":
    run(LimitedArqQueue())
