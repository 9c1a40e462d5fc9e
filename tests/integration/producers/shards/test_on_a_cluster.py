"""Three shards on a real cluster of three primaries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
from redis.crc import key_slot

from ops.redis_cluster import ClusterSetup, redis_cluster
from ops.slot_moves import other_primary
from producers import Producer, ProducerSettings, ShardsUnavailable
from producers.contract.shards import shard_keyspaces, shard_of
from producers.gateway.calls.reading import read_queue
from producers.monitor import doctor
from producers.monitor.checks import CheckStatus
from producers.sync import Producer as PlainProducer
from tests.support.changes import change, setting
from tests.support.copytrade import Copytrade

SHARDS = 3
USERS = [str(1000 + number) for number in range(600)]
KEYSPACES = shard_keyspaces("copytrade", SHARDS)
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    """The cluster of these tests."""
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def moving(cluster: ClusterSetup) -> Iterator[int]:
    """The number of a shard whose slot is being moved key by key, so that its calls are refused."""
    slot = key_slot(KEYSPACES[1].tag.encode())
    owner = cluster.owner(slot)
    target = other_primary(cluster, slot)
    cluster.command(owner, "CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.node_id(target))
    yield 1
    cluster.command(owner, "CLUSTER", "SETSLOT", slot, "STABLE")


@pytest.fixture
def settings(cluster: ClusterSetup) -> ProducerSettings:
    """The settings of a queue with three shards there."""
    return ProducerSettings(redis_dsn=cluster.dsn, shards=SHARDS, redis_timeout_s=5, redis_wait_s=30)


@pytest.fixture
async def producer(settings: ProducerSettings) -> AsyncIterator[Producer]:
    """A producer, which waits for owners that are away."""
    async with Producer.connect(settings=settings) as producer:
        yield producer


async def test_each_shard_is_at_another_primary(cluster: ClusterSetup, producer: Producer) -> None:
    """And holds the lanes of its users."""
    await producer.enqueue_many([change(user) for user in USERS[:30]])

    owners = [cluster.owner(key_slot(keys.tag.encode())) for keys in KEYSPACES]
    assert len({node.port for node in owners}) == SHARDS
    for user in USERS[:30]:
        shard = shard_of(user, SHARDS)
        found = await asyncio.to_thread(cluster.command, owners[shard], "EXISTS", KEYSPACES[shard].heads + user)
        assert int(found) == 1


async def test_a_fan_out_goes_on_through_a_failover_of_one_shard(cluster: ClusterSetup, producer: Producer) -> None:
    """Every change is accepted once, and the batch spans all primaries."""
    slot = key_slot(KEYSPACES[1].tag.encode())
    await asyncio.to_thread(cluster.wait_until_formed)
    replica = await asyncio.to_thread(cluster.replica_of, cluster.owner(slot))

    async def users() -> AsyncIterator[str]:
        for place, user in enumerate(USERS):
            if place == len(USERS) // 2:
                await asyncio.to_thread(cluster.command, replica, "CLUSTER", "FAILOVER")
            yield user

    async with asyncio.timeout(WITHIN_S):
        batch = await producer.fan_out(trader_id="t2", settings=[setting()], user_ids=users(), batch_id="july")
        again = await producer.fan_out(trader_id="t2", settings=[setting()], user_ids=USERS, batch_id="july")

    assert batch.report is not None
    assert again.report is not None
    assert (batch.report.accepted + batch.report.already_there, batch.report.refused) == (len(USERS), [])
    assert (again.report.accepted, again.report.already_there) == (0, len(USERS))
    assert (await batch.progress()).total == len(USERS)


async def test_the_sync_producer_and_the_doctor_reach_all_primaries(
    settings: ProducerSettings, producer: Producer
) -> None:
    """With the same settings."""
    job = await producer.enqueue(change("77"))

    def look() -> tuple[int, str]:
        with PlainProducer.connect(settings=settings) as plain:
            return plain.overview().interactive.users, plain.job(job.job_id).status().state.value

    users, state = await asyncio.to_thread(look)
    checks = await doctor.diagnose(settings)

    assert users >= 1
    assert state == "queued"
    assert {check.name for check in checks if check.status is CheckStatus.FAIL} <= {"workers"}
    places = "; ".join(check.detail for check in checks if check.name == "cluster")
    tags = ["{copytrade}", *(keys.tag for keys in KEYSPACES)]
    assert [tag for tag in tags if f"{tag} (slot {key_slot(tag.encode())})" not in places] == []
    assert not any("shard" in check.detail for check in checks if check.name != "layout")


@pytest.mark.usefixtures("moving")
async def test_what_a_shard_refuses_the_others_do(settings: ProducerSettings) -> None:
    """The error names them, and has what they say; the doctors and the health of the gateway tell the same."""
    at_once = msgspec.structs.replace(settings, redis_wait_s=0.0)
    done = "done in shards 0, 2, not confirmed by shard 1: the queue's slot is being moved"

    def pause() -> None:
        with PlainProducer.connect(settings=at_once) as plain:
            plain.pause(everything=True)

    async with Producer.connect(settings=at_once) as producer:
        for call in (asyncio.to_thread(pause), producer.pause(trader_id="t9")):
            with pytest.raises(ShardsUnavailable, match=done):
                await call
        with pytest.raises(ShardsUnavailable, match=done) as listing:
            await producer.paused()
        with pytest.raises(ShardsUnavailable, match=done) as batch:
            await producer.batch("july").progress()
        health = await read_queue(producer)
    checks = await doctor.diagnose(settings)

    assert {pause.kind for pause in listing.value.partial} == {"everything", "trader"}
    assert batch.value.partial is None or not batch.value.partial.complete
    assert (health.reasons, [*health.degraded]) == ({}, ["shard 1"])
    assert [check.detail.partition(":")[0] for check in checks if "moved" in check.detail] == [
        f"shard 1, {KEYSPACES[1].tag} (slot {key_slot(KEYSPACES[1].tag.encode())})"
    ]
    assert len([check for check in checks if check.name == "cluster"]) == SHARDS + 1


@pytest.mark.usefixtures("moving")
def test_the_command_line_prints_what_the_others_say(cluster: ClusterSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it ends with the error."""
    monkeypatch.setenv("COPYTRADE_SHARDS", str(SHARDS))
    copytrade = Copytrade(cluster.dsn)

    assert "not confirmed by shard 1" in copytrade.error("pause", "--everything", status=3)
    for words, shown in ((("paused",), "everything"), (("top", "--once"), "in flight")):
        result = copytrade(*words, status=3)
        assert shown in result.stdout
        assert "not confirmed by shard 1" in result.stderr
