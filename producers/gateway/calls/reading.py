"""The queue and its Redis, as metrics and health show them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from redis.exceptions import RedisError, ResponseError

from producers import LayoutMismatch, Overview, Producer
from producers.contract.layout import LAYOUT
from producers.errors import ProducerError
from producers.monitor.permissions import may_run
from producers.monitor.queue_metrics import Memory, fullest, memory_of
from producers.transport.explain import explain, is_wrong_server
from producers.transport.layout_check import fetch_layout, refusal
from producers.transport.runner import run_plan

MAX_AGE_S = 1.0
"""How long a reading is shown: so often Redis is asked at most, however many scrape."""

TIMEOUT_S = 2.0
"""How long Redis has to answer. A scraper waits for 10 s by default, and shorter if its interval is."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The queue at one moment, or why it could not be read.

    Attributes:
        overview: the queue; None if it could not be read.
        memory: the memory of its Redis; None if that is not known.
        reasons: what keeps it from being used, by what is at fault: "redis", "scripts" or "layout". No addresses.
    """

    overview: Overview | None
    memory: Memory | None
    reasons: dict[str, str]


async def read_queue(producer: Producer) -> Reading:
    """Read the queue. Redis's errors are part of what is returned."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            found = await asyncio.gather(producer.overview(), _read_memory(producer), _layout_reasons(producer))
            return Reading(*found)
    except (ProducerError, TimeoutError) as exc:
        return Reading(None, None, _reasons(exc))


async def _read_memory(producer: Producer) -> Memory | None:
    """Return the memory of the server that is the fullest, of those that have the shards."""
    found: list[Memory | None] = []
    for shard in producer._shards:  # noqa: SLF001 - the gateway is the producer's side
        try:
            found.append(memory_of(await shard.redis.info("memory")) if await may_run(shard.redis, "INFO") else None)
        except RedisError:  # such as an ACL that forbids it, on Redis 6.2
            return None
    return fullest(found)


async def _layout_reasons(producer: Producer) -> dict[str, str]:
    """Return why the layout keeps the queue from being used: it may be migrated, and connections check it only once."""
    keys = producer._keys  # noqa: SLF001
    layout = await run_plan(producer._redis, fetch_layout(keys), "reading the layout")  # noqa: SLF001
    return {} if layout in (LAYOUT, keys.mark) else {"layout": refusal(layout, keys.mark)}


def _reasons(error: ProducerError | TimeoutError) -> dict[str, str]:
    if isinstance(error, LayoutMismatch):
        return {"layout": str(error)}
    cause = error.__cause__ if isinstance(error, ProducerError) and error.__cause__ else error
    is_refusal = isinstance(cause, ResponseError) and not is_wrong_server(cause)
    return {"scripts" if is_refusal else "redis": explain(cause).problem}
