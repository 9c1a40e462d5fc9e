"""One worker over the shards of a real cluster of three primaries, one of which does not answer for a while."""

from __future__ import annotations

import asyncio
from pathlib import Path

from redis.crc import key_slot

from ops.exchange import ExchangeDouble, load
from ops.redis_cluster import redis_cluster
from ops.stack import User, write_credentials
from producers import Producer, ProducerSettings
from producers.contract.shards import shard_keyspaces, shard_of
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, WITHIN_S
from worker.process.lane_worker import LaneWorker
from worker.settings import WorkerSettings

pytestmark = ARQ_CLOSES_OLD_STYLE

SHARDS = 3
USERS = [str(number) for number in range(1001, 1013)]
HOME_SLOT = key_slot(b"{copytrade}")


async def test_a_shard_that_does_not_answer_holds_up_its_own_users_only(tmp_path: Path) -> None:
    """Also when the worker starts meanwhile. When it answers again, its users' changes are sent."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    config = {"cluster-require-full-coverage": "no"}
    with redis_cluster(tmp_path / "cluster", with_replicas=False, config=config) as nodes:
        owners = [nodes.owner(key_slot(keys.tag.encode())) for keys in shard_keyspaces("copytrade", SHARDS)]
        away = next(shard for shard in range(SHARDS) if owners[shard] is not nodes.owner(HOME_SLOT))
        mine = [user for user in USERS if shard_of(user, SHARDS) == away]
        async with (
            asyncio.timeout(2 * WITHIN_S),
            ExchangeDouble(load(Path(credentials.removeprefix("file:")))) as double,
            Producer.connect(nodes.dsn, ProducerSettings(shards=SHARDS)) as producer,
        ):
            settings = WorkerSettings(
                redis_dsn=nodes.dsn,
                shards=SHARDS,
                redis_timeout_s=1.0,
                exchange_url=double.url,
                credentials=credentials,
            )
            jobs = (await producer.enqueue_many([change(user) for user in USERS])).jobs
            of_user = dict(zip(USERS, jobs, strict=True))
            await asyncio.to_thread(owners[away].freeze)
            worker = LaneWorker(settings, handle_signals=False)
            running = asyncio.create_task(worker.async_run())
            try:
                others = [job for user, job in of_user.items() if user not in mine]
                results = await asyncio.gather(*(job.result() for job in others))
                health = worker._monitoring.health
                seen = health.unready_reasons(), [*health.degraded()]
                held = {arrival.user for arrival in double.ledger.arrivals}.isdisjoint(mine)
                await asyncio.to_thread(owners[away].thaw)
                results += await asyncio.gather(*(of_user[user].result() for user in mine))
            finally:
                await worker.close()
                await asyncio.gather(running, return_exceptions=True)

    assert held
    assert seen == ({}, [f"shard {away}"])
    assert len(owners) == len({owner.port for owner in owners}) == SHARDS
    assert all(result.applied for result in results)
