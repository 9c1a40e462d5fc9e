"""A worker whose Redis answers but refuses writes for longer than a lease lasts."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from arq.connections import ArqRedis

from ops.exchange import Fault
from ops.keys import KEYS
from ops.redis_server import Valkey
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, USERS, Rig, rig_on

pytestmark = ARQ_CLOSES_OLD_STYLE

LEASE_S = 3.0


async def arrived(rig: Rig, count: int) -> None:
    """Wait until so many requests have arrived at the exchange."""
    while sum(arrival.user in USERS for arrival in rig.double.ledger.arrivals) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def lapsed(redis: ArqRedis) -> None:
    """Wait until the leases of all claimed lanes are over."""
    while await redis.zcount(KEYS.schedule, "-inf", (await redis.time())[0] * 1000) < len(USERS):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_a_settlement_that_redis_refuses_survives_its_lease(tmp_path: Path) -> None:
    """No request is made twice, although two workers could take the lanes, and each result has its attempt."""
    with Valkey(tmp_path / "redis", ("appendonly no", "maxmemory-policy noeviction")) as server:
        redis = open_redis(server.dsn, ArqRedis, timeout_s=5)
        settings = {"lease_s": LEASE_S, "request_timeout_s": 1.0}
        async with rig_on(redis, tmp_path, faults=[Fault("latency", ms=300)]) as rig:
            async with rig.working(**settings), rig.working(**settings):
                jobs = (await rig.producer.enqueue_many([change(user) for user in USERS])).jobs
                await arrived(rig, len(USERS))
                await redis.config_set("min-replicas-to-write", 1)  # NOREPLICAS
                await lapsed(redis)
                await redis.config_set("min-replicas-to-write", 0)
                results = [await job.result(timeout=20) for job in jobs]

            sent = Counter(arrival.user for arrival in rig.double.ledger.arrivals if arrival.user in USERS)
        await redis.aclose()

    assert sent == dict.fromkeys(USERS, 1)
    assert [(result.applied, len(result.attempts)) for result in results] == [(True, 1)] * len(USERS)
