"""Workers that stall or die repeatedly: they send nothing without a lease, and do not take the other workers down."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from ops.stack import Stack
from producers import Outcome, Producer
from tests.acceptance.conftest import USERS, WITHIN_S
from tests.acceptance.deadly_source import DEADLY
from tests.support.changes import change

QUICK = {"COPYTRADE_LEASE_S": "3", "COPYTRADE_REQUEST_TIMEOUT_S": "1"}
ROOT = Path(__file__).parents[2]


async def test_a_worker_that_was_stopped_for_longer_than_its_lease_neither_sends_nor_settles(
    stack: Stack, log_path: Path
) -> None:
    """Another worker takes over, and nothing is sent twice or late."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        await stack.set_faults({"kind": "latency", "ms": 300})
        (stalled,) = await stack.start_workers(1, **QUICK)
        changes = [change(user, value=str(number)) for number in range(1, 6) for user in USERS]
        jobs = (await producer.enqueue_many(changes)).jobs
        await jobs[0].result()
        stalled.send_signal(signal.SIGSTOP)
        await stack.set_faults()
        await stack.start_workers(1, **QUICK)
        results = await asyncio.gather(*(job.result() for job in jobs))
        before = await stack.arrivals()
        stalled.send_signal(signal.SIGCONT)
        again = [await producer.enqueue(change(user, value="9")) for user in USERS]  # it works on, with fresh claims
        await asyncio.gather(*(job.result() for job in again))
        stalled.send_signal(signal.SIGTERM)
        assert await stalled.wait() == 0
        arrivals = await stack.arrivals()

    assert all(result.applied for result in results)
    after = [arrival["values"][0] for arrival in arrivals[len(before) :] if arrival["user"]]
    assert sorted(after) == ["9"] * len(USERS), "something old was sent after its lease"
    for user in USERS:
        values = [int(arrival["values"][0]) for arrival in arrivals if arrival["user"] == user]
        assert values == sorted(values)
        assert max(map(values.count, values)) <= 2
    assert "lost with its lease" in log_path.read_text()  # noqa: ASYNC240 - a few lines


async def test_a_change_that_kills_its_workers_ends_as_poison_and_others_go_on(stack: Stack) -> None:
    """After five workers; the restarted ones go on."""
    quick = {"COPYTRADE_LEASE_S": "2.2", "COPYTRADE_REQUEST_TIMEOUT_S": "0.2", "PYTHONPATH": str(ROOT)}
    source = "python:tests.acceptance.deadly_source:source"
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        deadly = await producer.enqueue(change(DEADLY))
        others = (await producer.enqueue_many(change(user) for user in USERS if user != DEADLY)).jobs
        await stack.start_workers(1, "--processes", "2", **quick, COPYTRADE_CREDENTIALS=source)
        result = await deadly.result()
        ends = await asyncio.gather(*(job.result() for job in others))
        behind = await producer.enqueue(change("1001"))
        assert (await behind.result()).applied

    assert (result.outcome, result.attempts) == (Outcome.EXHAUSTED, [])
    assert "poison" in (result.message or "")
    assert all(end.applied for end in ends)
