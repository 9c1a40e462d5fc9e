"""Workers that stall or die repeatedly: they send nothing without a session, and do not take the other workers down."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import msgspec
from arq.connections import ArqRedis

from ops.keys import KEYS
from ops.stack import Stack
from producers import Outcome, Producer
from tests.acceptance.conftest import USERS, WITHIN_S
from tests.acceptance.deadly_source import DEADLY
from tests.support.changes import change
from worker.logs import Event

QUICK = {"COPYTRADE_REQUEST_TIMEOUT_S": "1", "COPYTRADE_LOG_FORMAT": "json"}
ROOT = Path(__file__).parents[2]


async def sessions_of(valkey: ArqRedis) -> set[str]:
    """Return the sessions that are open or not taken back yet."""
    return {name.decode() for name in await valkey.hkeys(KEYS.sessions)} - {"clock"}  # type: ignore[misc]


async def test_a_worker_that_was_stopped_for_longer_than_its_session_neither_sends_nor_settles(
    stack: Stack, valkey: ArqRedis, log_path: Path
) -> None:
    """Another worker takes over. The stopped one wakes up without its session, and works on under a new one."""
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
        again = [await producer.enqueue(change(user, value="9")) for user in USERS]  # both work on
        await asyncio.gather(*(job.result() for job in again))
        while len(new_sessions := await sessions_of(valkey)) < 2:  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.05)
        stalled.send_signal(signal.SIGTERM)
        assert await stalled.wait() == 0
        arrivals = await stack.arrivals()

    assert all(result.applied for result in results)
    after = [arrival["values"][0] for arrival in arrivals[len(before) :] if arrival["user"]]
    assert sorted(after) == ["9"] * len(USERS), "something old was sent after its session"
    for user in USERS:
        values = [int(arrival["values"][0]) for arrival in arrivals if arrival["user"] == user]
        assert values == sorted(values)
        assert max(map(values.count, values)) <= 2
    logged = [msgspec.json.decode(line) for line in log_path.read_bytes().splitlines()]  # noqa: ASYNC240 - a few lines
    lost = [line["session"] for line in logged if line.get("event") == Event.SESSION_LOST]
    assert lost
    assert new_sessions.isdisjoint(lost)
    assert any(line.get("event") == Event.FENCED for line in logged), "nothing was in flight when it was stopped"


async def test_a_change_that_kills_its_workers_ends_as_poison_and_others_go_on(stack: Stack) -> None:
    """After five workers; the restarted ones go on."""
    quick = {"COPYTRADE_SESSION_TTL_S": "1", "COPYTRADE_REQUEST_TIMEOUT_S": "0.2", "PYTHONPATH": str(ROOT)}
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
