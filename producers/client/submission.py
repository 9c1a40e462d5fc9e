"""Submitting chunks of changes, and the log lines of what was accepted."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import Any

from producers.client.job import Job
from producers.client.shard import Shard
from producers.contract.ids import batch_id_of
from producers.logs import ClientEvent, log_fields
from producers.queue.chunking import Accepted, ChunkedSubmission
from producers.queue.chunks import Chunk
from producers.transport.commands import TIME_US
from producers.transport.layout_check import with_layout_check
from producers.transport.plan import RunScript
from producers.transport.runner import check_shards, execute, translate_errors

log = logging.getLogger(__name__)


DOUBT = "the last chunks may or may not be accepted"
"""What is said of many changes when Redis did not answer."""


async def submit_steps(
    shards: Sequence[Shard], chunked: ChunkedSubmission, items: AsyncIterator[Any]
) -> AsyncIterator[tuple[Chunk, RunScript[list[int]]]]:
    """Yield the chunks of the items, each with the step that submits it.

    Raises:
        RedisError: a shard that items go to did not say its time; it is asked before its first item.
        LayoutMismatch: as `now_ms_of`.
    """
    has_begun = False
    async for item in items:
        shard = shards[chunked.shard_of(item)]
        if not shard.clock.known:
            with nullcontext() if has_begun else translate_errors(DOUBT, chunked.describe_accepted, is_alone=True):
                await now_ms_of(shard)
        chunk = chunked.add(item)
        if chunk is not None:
            has_begun = True
            yield chunk, chunked.step(chunk)
    for chunk in chunked.flush():
        yield chunk, chunked.step(chunk)


async def now_ms_of(shard: Shard) -> int:
    """Return the time of a shard's Redis, Unix milliseconds. It is read once; each submission's reply updates it.

    Raises:
        LayoutMismatch: another version of this project wrote the queue, or it has another number of shards.
    """
    if not shard.clock.known:
        await check_shards(shard.redis)
        asked = with_layout_check(shard.redis.connection_pool, shard.keys, TIME_US())
        shard.clock.update(await execute(shard.redis, asked) // 1000)
    return shard.clock.now_ms()


def in_given_order(jobs: list[tuple[int, Job]]) -> list[Job]:
    """Return jobs in the order of their items, of which each is given the index."""
    jobs.sort(key=lambda indexed: indexed[0])  # quick without shards, as they are sorted then
    return [job for _, job in jobs]


def log_accepted(accepted: Sequence[Accepted]) -> None:
    """Log changes that were accepted."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    for _, job_id, existed, _ in accepted:
        what = "is there already" if existed else "is in the queue"
        extra = log_fields(ClientEvent.ACCEPTED, job=job_id, batch=batch_id_of(job_id), already_there=existed)
        log.debug("change %s %s", job_id, what, extra=extra)
