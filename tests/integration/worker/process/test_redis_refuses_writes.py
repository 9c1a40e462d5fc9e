"""A worker whose Redis answers but refuses writes for longer than a worker trusts its session."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from arq.connections import ArqRedis

from ops.exchange import Fault
from ops.redis_server import Valkey
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, USERS, Rig, rig_on
from worker.queue.session import Session

pytestmark = ARQ_CLOSES_OLD_STYLE


async def arrived(rig: Rig, count: int) -> None:
    """Wait until so many requests have arrived at the exchange."""
    while sum(arrival.user in USERS for arrival in rig.double.ledger.arrivals) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def distrusted(session: Session) -> None:
    """Wait until a worker no longer trusts its session."""
    while session.is_trusted(session.session_id):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_a_settlement_that_redis_refuses_survives_the_end_of_trust(tmp_path: Path) -> None:
    """No request is made twice, although another worker is there, both sessions go on, and each result has its attempt.

    While Redis refuses renewals it takes nobody's lanes away.
    """
    with Valkey(tmp_path / "redis", ("appendonly no", "maxmemory-policy noeviction")) as server:
        redis = open_redis(server.dsn, ArqRedis, timeout_s=5)
        async with rig_on(redis, tmp_path, faults=[Fault("latency", ms=300)]) as rig:
            async with rig.working(session_ttl_s=3.0) as one, rig.working(session_ttl_s=3.0) as other:
                jobs = (await rig.producer.enqueue_many([change(user) for user in USERS])).jobs
                await arrived(rig, len(USERS))
                healths = [worker._monitoring.health for worker in (one, other)]
                sessions = [session for health in healths for session in health.sessions]
                ids = [session.session_id for session in sessions]
                await redis.config_set("min-replicas-to-write", 1)  # NOREPLICAS
                await asyncio.gather(*map(distrusted, sessions))
                await redis.config_set("min-replicas-to-write", 0)
                results = [await job.result(timeout=20) for job in jobs]

            sent = Counter(arrival.user for arrival in rig.double.ledger.arrivals if arrival.user in USERS)
        await redis.aclose()

    assert [session.session_id for session in sessions] == ids
    assert sent == dict.fromkeys(USERS, 1)
    assert [(result.applied, len(result.attempts)) for result in results] == [(True, 1)] * len(USERS)
