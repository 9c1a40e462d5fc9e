"""Workers that are killed: operators see it when the session ends, and others go on with what was in flight."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from arq.connections import ArqRedis

from ops.keys import KEYS
from ops.stack import Stack
from producers import Producer, ProducerSettings
from producers.monitor import doctor
from tests.acceptance.conftest import USERS, WITHIN_S
from tests.support.changes import change


async def session_end_ms(valkey: ArqRedis, session: str) -> int:
    """Return when a session ends unless it is renewed, Redis's clock."""
    row = await valkey.hget(KEYS.sessions, session)  # type: ignore[misc]
    assert row is not None, "it was taken back already"
    _, renewed_ms, ttl_ms, *_ = map(int, row.split())
    return renewed_ms + ttl_ms


async def test_a_killed_worker_is_gone_from_top_and_doctor_when_its_session_ends(
    stack: Stack, valkey: ArqRedis
) -> None:
    """By Redis's clock, and although its announcement is still there."""
    settings = ProducerSettings(redis_dsn=stack.redis_dsn)
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        killed, other = await stack.start_workers(2, COPYTRADE_HEALTH_INTERVAL_S="60")
        while len(workers := (await producer.overview()).workers) < 2:  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.05)
        (session,) = [worker.session for worker in workers if worker.pid == killed.pid]
        killed.kill()
        await killed.wait()
        ends_ms = await session_end_ms(valkey, session)
        seen = [await producer.overview()]
        while len(seen[-1].workers) > 1:
            await asyncio.sleep(0.05)
            seen.append(await producer.overview())
        checks = await doctor.diagnose(settings)
        announced = await valkey.zcard(KEYS.workers)

    assert all(overview.at_ms <= ends_ms for overview in seen[:-1])
    assert [worker.pid for worker in seen[-1].workers] == [other.pid]
    (found,) = [check.detail for check in checks if check.name == "workers"]
    assert found.startswith("1 alive")
    assert announced == 2


async def test_what_a_killed_worker_had_in_flight_is_repeated_by_another_in_order(stack: Stack) -> None:
    """Nothing is lost; only what was in flight is sent twice."""
    quick = {"COPYTRADE_CONNECT_TIMEOUT_S": "0.5", "COPYTRADE_REQUEST_TIMEOUT_S": "1"}
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        await stack.set_faults({"kind": "latency", "ms": 300})
        killed, _ = await stack.start_workers(2, **quick)
        changes = [change(user, value=str(number)) for number in (1, 2, 3) for user in USERS]
        jobs = (await producer.enqueue_many(changes)).jobs
        await jobs[0].result()
        killed.kill()
        results = await asyncio.gather(*(job.result() for job in jobs))
        arrivals = [arrival for arrival in await stack.arrivals() if arrival["user"]]

    assert all(result.applied for result in results)
    sent: dict[str, list[int]] = defaultdict(list)
    for arrival in arrivals:
        sent[arrival["user"]].append(int(arrival["values"][0]))
    assert {tuple(dict.fromkeys(values)) for values in sent.values()} == {(1, 2, 3)}
    assert all(values == sorted(values) for values in sent.values())
    assert max(values.count(number) for values in sent.values() for number in values) <= 2
