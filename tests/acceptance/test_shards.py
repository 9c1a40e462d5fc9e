"""The main job over four shards of one server: two worker processes, and one limit of their egress."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ops.exchange.rules import SETTINGS_PATH
from ops.ledger.limits import SECOND_NS, fullest_window
from ops.stack import Stack, User, write_credentials
from producers import Priority, Producer, ProducerSettings
from producers.contract.messages import Outcome
from producers.contract.shards import shard_of
from tests.support.changes import change
from worker.queue.rate import Pacing

SHARDS = 4
RATE_PER_S = 40
USERS = [str(number) for number in range(1001, 1201)]
OF_SHARD = [[user for user in USERS if shard_of(user, SHARDS) == shard] for shard in range(SHARDS)]
PACING = Pacing.from_rates(user_rate_per_s=10, egress_rate_per_s=RATE_PER_S, margin_percent=0.2, shards=SHARDS)
JITTER_S = 0.5
"""How much nearer to each other two requests may arrive than they were sent: this machine is busy."""

WITHIN_S = 90.0


@pytest.fixture
async def stack(valkey_dsn: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A double, and two workers of a queue with four shards."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    environ = {"COPYTRADE_SHARDS": str(SHARDS), "COPYTRADE_EGRESS_RATE_PER_S": str(RATE_PER_S)}
    log_path = tmp_path / "workers.log"
    async with Stack(valkey_dsn, credentials, credentials, environ=environ, log_path=log_path) as running:
        yield running


def producer_of(stack: Stack) -> Producer:
    """Return a producer of the queue."""
    return Producer.connect(stack.redis_dsn, ProducerSettings(shards=SHARDS))


def check_rate(arrivals: list[dict[str, Any]]) -> None:
    """Check the egress's rate in windows of some lengths."""
    times_ns = sorted(arrival["at_ns"] for arrival in arrivals if arrival["path"] == SETTINGS_PATH)
    for span_s in (2, 5, 10):
        peak = fullest_window(times_ns, round(span_s * SECOND_NS)).requests
        allowed = ((span_s + JITTER_S) * 1e6 + PACING.egress_burst_us) / PACING.egress_pace_us + SHARDS
        assert peak <= allowed, f"{peak} requests within {span_s} s"


async def test_two_workers_drain_all_shards_in_order_within_every_limit(stack: Stack) -> None:
    """Every change is applied once, no user exceeds its limit, and all shards together not that of the egress."""
    async with asyncio.timeout(WITHIN_S), producer_of(stack) as producer:
        changes = [change(user, value=str(n)) for n in (1, 2, 3) for user in USERS[:80]]
        jobs = (await producer.enqueue_many(changes)).jobs
        await stack.start_workers(2)
        results = await asyncio.gather(*(job.result() for job in jobs))
        report, arrivals = await stack.report(), await stack.arrivals()

    assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert report["throttled"] == 0
    assert max(user["peak_in_1s"] for user in report["users"].values()) <= 10
    lanes = defaultdict(list)
    for arrival in arrivals:
        if arrival["path"] == SETTINGS_PATH:
            lanes[arrival["user"]].append(arrival["values"][0])
    assert len(lanes) == 80
    assert {tuple(values) for values in lanes.values()} == {("1", "2", "3")}
    check_rate(arrivals)


async def test_the_rate_moves_to_the_shard_that_has_all_the_work(stack: Stack) -> None:
    """It gets nearly all of it, then the next shard does; what is sent meanwhile elsewhere does not wait for it."""
    async with asyncio.timeout(WITHIN_S), producer_of(stack) as producer:
        await stack.start_workers(2)
        for shard in (1, 3):
            await stack.reset()
            users = OF_SHARD[shard]
            backlog = [change(user, value=str(n)) for n in range(1, 7) for user in users]
            jobs = (await producer.enqueue_many(backlog, priority=Priority.BULK)).jobs
            elsewhere = await producer.enqueue(change(OF_SHARD[0][0], value=str(shard)))
            assert (await elsewhere.result(timeout=30)).applied
            seen = [arrival for arrival in await stack.arrivals() if arrival["user"] in users]
            results = await asyncio.gather(*(job.result() for job in jobs))
            arrivals = await stack.arrivals()

            assert len(seen) < len(backlog), "the backlog was gone before a change elsewhere was sent"
            assert {result.outcome for result in results} == {Outcome.APPLIED}
            check_rate(arrivals)
            times_ns = sorted(arrival["at_ns"] for arrival in arrivals if arrival["user"] in users)
            assert fullest_window(times_ns, 3 * SECOND_NS).requests > 0.8 * 3 * RATE_PER_S


async def test_a_burst_ends_when_every_shard_is_drained(stack: Stack) -> None:
    """A worker with another number of shards is refused, and takes nothing."""
    async with asyncio.timeout(WITHIN_S), producer_of(stack) as producer:
        jobs = (await producer.enqueue_many([change(user) for user in USERS[:40]])).jobs
        await stack.start_workers(1, "--burst", COPYTRADE_SHARDS="2")
        refused = await stack.workers[-1].wait()
        await stack.start_workers(1, "--burst")
        drained = await stack.workers[-1].wait()
        results = await asyncio.gather(*(job.result(timeout=0) for job in jobs))

    assert (refused, drained) == (2, 0)
    assert {result.outcome for result in results} == {Outcome.APPLIED}
