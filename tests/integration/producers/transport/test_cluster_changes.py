"""Nodes that leave a cluster, or disagree about it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.redis_cluster import ClusterSetup, redis_cluster
from producers import Producer
from producers.transport import notifications, waiting
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.clusters import KINDS, QUICK, WITHIN_S, calling, dsn_of, fail_over
from tests.support.lanes import Lanes

both_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterSetup]:
    """One primary and its replica."""
    with redis_cluster(tmp_path, size=1) as cluster:
        yield cluster


async def forget(cluster: ClusterSetup, left: int) -> None:
    """Let a node leave the cluster for good."""
    node, other = cluster.nodes[left], cluster.nodes[1 - left]
    node_id = await asyncio.to_thread(cluster.node_id, node)
    await asyncio.to_thread(cluster.command, node, "CLUSTER", "RESET", "HARD")
    await asyncio.to_thread(cluster.command, other, "CLUSTER", "FORGET", node_id)


async def test_a_waiter_hears_of_its_result_although_its_node_left_the_cluster(
    cluster: ClusterSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That node keeps the subscription, and announces nothing any more."""
    monkeypatch.setattr(notifications, "SILENCE_S", 0.1)
    monkeypatch.setattr(waiting, "POLL_INTERVAL_S", 100 * WITHIN_S)
    client: ArqRedis = open_redis(cluster.dsn, ArqRedis, timeout_s=5, wait_s=WITHIN_S)
    lanes = Lanes(client)
    async with asyncio.timeout(WITHIN_S), Producer.connect(cluster.dsn, QUICK, wait_s=WITHIN_S) as producer:
        job = await producer.enqueue(change())
        claim = await lanes.claim_one()
        result = asyncio.create_task(job.result())
        await subscribed(cluster, 0)
        await fail_over(cluster)
        await forget(cluster, 0)
        await producer.paused()
        await subscribed(cluster, 1)
        await lanes.done(claim)

        assert (await result).applied
    await client.aclose()


async def subscribed(cluster: ClusterSetup, number: int) -> None:
    """Return when somebody has subscribed to a channel at a node."""
    while not await asyncio.to_thread(cluster.command, cluster.nodes[number], "PUBSUB", "CHANNELS"):  # noqa: ASYNC110 - polls a server
        await asyncio.sleep(0.02)


@both_kinds
async def test_connections_to_a_node_that_left_the_cluster_lead_to_the_owner(cluster: ClusterSetup, kind: str) -> None:
    """It is the only node of the list, and says that the slot has no owner; what it had said before still counts."""
    async with calling(kind, dsn_of(cluster.nodes[0]), wait_s=WITHIN_S) as producer:
        await producer("enqueue", change())
        await fail_over(cluster)
        await forget(cluster, 0)

        job = await producer("enqueue", change())
        assert (await producer.of(job, "status")).position == 1
        assert producer.owner_port == cluster.nodes[1].port


@both_kinds
async def test_a_slot_without_an_owner_is_named(cluster: ClusterSetup, kind: str) -> None:
    """As in a cluster that has lost a primary and its replica, or that was never given all slots."""
    await asyncio.to_thread(cluster.command, cluster.nodes[0], "CLUSTER", "RESET", "HARD")
    async with calling(kind, dsn_of(cluster.nodes[0])) as producer:
        with pytest.raises(Exception, match="slot 9263, which holds the queue, has no owner"):
            await producer("paused")
