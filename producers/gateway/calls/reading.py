"""The queue and its Redis, as metrics and health show them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers import LayoutMismatch, Overview, Producer
from producers.contract.layout import LAYOUT
from producers.errors import ProducerError
from producers.monitor.merged_overview import merge_overviews
from producers.monitor.overview import read_overview
from producers.monitor.permissions import may_run
from producers.monitor.queue_metrics import Memory, fullest, memory_of
from producers.transport.explain import explain, is_wrong_server
from producers.transport.layout_check import fetch_layout, refusal
from producers.transport.redis_errors import ErrorKind, error_kind
from producers.transport.runner import run_plan

MAX_AGE_S = 1.0
"""How long a reading is shown: so often Redis is asked at most, however many scrape."""

TIMEOUT_S = 2.0
"""How long Redis has to answer. A scraper waits for 10 s by default, and shorter if its interval is."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The queue at one moment, or why it could not be read.

    Attributes:
        overview: the queue; None if it, or one of its shards, could not be read.
        memory: the memory of its Redis; None if that is not known.
        reasons: what keeps it from being used, by what is at fault: "redis", "scripts" or "layout". No addresses.
        degraded: what does not work in a queue with several shards, by its name: "shard 2", "home". The others work.
    """

    overview: Overview | None
    memory: Memory | None
    reasons: dict[str, str] = field(default_factory=dict)
    degraded: dict[str, str] = field(default_factory=dict)


async def read_queue(producer: Producer) -> Reading:
    """Read the queue: each shard, and the home, by itself. Redis's errors are part of what is returned."""
    clients = [shard.redis for shard in producer._shards]  # noqa: SLF001 - the gateway is the producer's side
    home, *shards = await asyncio.gather(
        _part(_read_layout(producer)), *(_part(_read_shard(client)) for client in clients)
    )
    return merge_readings(home, shards)


def merge_readings(home: Reading, shards: list[Reading]) -> Reading:
    """Return the reading of a queue from that of its home and those of its shards.

    As a worker does, a gateway serves a queue of which it reaches one shard: its users are served, and to call another
    gateway would help none of the others. Another layout keeps all of it from being used.
    """
    reasons: dict[str, str] = {}
    degraded: dict[str, str] = {}
    parts = {"home": home} | {f"shard {number}": shard for number, shard in enumerate(shards)}
    is_served = len(shards) > 1 and any(not shard.reasons for shard in shards)
    for name, part in parts.items():
        for at_fault, problem in part.reasons.items():
            if is_served and at_fault != "layout":
                degraded[name] = problem
            else:
                reasons.setdefault(at_fault, problem)
    overviews = [shard.overview for shard in shards if shard.overview is not None]
    if degraded or len(overviews) < len(shards):
        return Reading(None, None, reasons, degraded)
    return Reading(merge_overviews(overviews), fullest([shard.memory for shard in shards]), reasons)


async def _part(reading: Awaitable[Reading]) -> Reading:
    """Return the reading of one keyspace, or why there is none."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await reading
    except (ProducerError, TimeoutError) as exc:
        return Reading(None, None, reasons_of(exc))


async def _read_shard(redis: Redis) -> Reading:
    overview = await run_plan(redis, read_overview(), "reading the overview")
    return Reading(overview, await _read_memory(redis))


async def _read_memory(redis: Redis) -> Memory | None:
    """Return the memory of the server that has a shard."""
    try:
        return memory_of(await redis.info("memory")) if await may_run(redis, "INFO") else None
    except RedisError:  # such as an ACL that forbids it, on Redis 6.2
        return None


async def _read_layout(producer: Producer) -> Reading:
    """Read in the home whether the layout lets the queue be used.

    It may be migrated meanwhile, and connections check it only once.
    """
    keys = producer._keys  # noqa: SLF001
    layout = await run_plan(producer._redis, fetch_layout(keys), "reading the layout")  # noqa: SLF001
    return Reading(None, None, {} if layout in (LAYOUT, keys.mark) else {"layout": refusal(layout, keys.mark)})


def reasons_of(error: ProducerError | TimeoutError) -> dict[str, str]:
    """Return what an error of a call says is at fault, and the problem."""
    if isinstance(error, LayoutMismatch):
        return {"layout": str(error)}
    cause = error.__cause__ if isinstance(error, ProducerError) and error.__cause__ else error
    is_refusal = error_kind(cause) is ErrorKind.REFUSED and not is_wrong_server(cause)
    return {"scripts" if is_refusal else "redis": explain(cause).problem}
