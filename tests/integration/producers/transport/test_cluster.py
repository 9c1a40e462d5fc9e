"""Producers of both kinds follow the owner of their slot through a real cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from arq.connections import ArqRedis

from ops.redis_cluster import ClusterSetup, redis_cluster
from producers import Cancellation, Producer, QueueUnavailable
from producers.transport.dsn import open_redis
from tests.support.changes import change, numbered
from tests.support.clusters import KINDS, QUICK, WITHIN_S, calling, dsn_of, empty, fail_over, owned_by, owner, primaries
from tests.support.lanes import Lanes

both_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    """Three primaries and three replicas."""
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def cluster(running: ClusterSetup) -> ClusterSetup:
    """The cluster, whole and empty."""
    running.wait_until_formed()
    empty(running)
    return running


@both_kinds
async def test_each_node_leads_to_the_owner(cluster: ClusterSetup, kind: str) -> None:
    """One node in the DSN is enough, whichever it is; and all meet the same queue."""
    for position, node in enumerate(cluster.nodes):
        async with calling(kind, dsn_of(node)) as producer:
            job = await producer("enqueue", change())

            assert (await producer.of(job, "status")).position == position
            assert producer.owner_port == owner(cluster).port


@both_kinds
async def test_nodes_that_are_gone_from_the_list_are_passed(
    cluster: ClusterSetup, kind: str, valkey_server: str
) -> None:
    """One does not answer, and the address of another one is that of a server which is in no cluster now."""
    dsn = f"redis+cluster://127.0.0.1:1,127.0.0.1:{urlsplit(valkey_server).port},127.0.0.1:{cluster.nodes[0].port}"
    async with calling(kind, dsn) as producer:
        assert await producer("paused") == []


@both_kinds
async def test_a_slot_that_moves_by_hand_is_followed_by_callers_that_do_not_wait(
    cluster: ClusterSetup, kind: str
) -> None:
    """With several connections to the former owner, in the middle of a transaction, and for a write of any kind."""
    async with calling(kind, cluster.dsn) as producer:
        jobs = await asyncio.gather(*(producer("enqueue", change(str(user))) for user in range(6)))
        _, after = await fail_over(cluster)

        again = await asyncio.gather(*(producer("enqueue", change(str(user))) for user in range(6)))
        cancelled = await producer.of(jobs[0], "cancel")
        paused = await producer("pause", user_id="7")
        listed = await producer("batches")

        assert [(await producer.of(job, "status")).position for job in again] == [0, 1, 1, 1, 1, 1]
        assert (cancelled, paused, listed) == (Cancellation.CANCELLED, True, [])
        assert producer.owner_port == after.port


@both_kinds
async def test_many_changes_keep_their_order_while_the_slot_moves(cluster: ClusterSetup, kind: str) -> None:
    """Chunks that the former owner did not take are sent to the new one, and nothing twice."""
    async with calling(kind, cluster.dsn, wait_s=WITHIN_S) as producer:
        await producer("paused")
        enqueuing = asyncio.ensure_future(producer("enqueue_many", numbered(12_000)))
        for _ in range(2):
            await fail_over(cluster)
        jobs = (await enqueuing).jobs

        assert [(await producer.of(job, "status")).position for job in jobs[:5]] == [0, 1, 2, 3, 4]
        assert [(await producer.of(job, "status")).position for job in jobs[-5:]] == list(range(11_995, 12_000))


@both_kinds
async def test_a_call_that_waits_gets_through_an_election(cluster: ClusterSetup, kind: str) -> None:
    """The owner is killed; the nodes of the DSN are gone too, and those that were discovered lead on."""
    before = owner(cluster)
    replica = cluster.replica_of(before)
    async with calling(kind, dsn_of(before), wait_s=WITHIN_S) as producer:
        first = await producer("enqueue", change(value="1"), job_id="first")
        await asyncio.to_thread(_replicated, cluster)
        await asyncio.to_thread(before.kill)
        try:
            repeated = await producer("enqueue", change(value="1"), job_id="first")
            job, many = await asyncio.gather(
                producer("enqueue", change(value="2")), producer("enqueue_many", numbered(3, "1002"))
            )

            assert producer.owner_port == replica.port
            assert (first.already_there, repeated.already_there) == (False, True)
            assert (await producer.of(job, "status")).position == 1
            assert [(await producer.of(one, "status")).position for one in many.jobs] == [0, 1, 2]
        finally:
            await asyncio.to_thread(before.start)


def _replicated(cluster: ClusterSetup) -> None:
    """Return when the replica of the owner has all that the owner has."""
    owning = owner(cluster)
    replica = cluster.replica_of(owning)
    wanted = cluster.command(owning, "INFO", "replication")["master_repl_offset"]
    while cluster.command(replica, "INFO", "replication")["slave_repl_offset"] < wanted:
        pass


@both_kinds
async def test_an_owner_that_hangs_is_left_when_another_took_over(cluster: ClusterSetup, kind: str) -> None:
    """Its idle connections seem to be usable; the first that gets no reply is the last that is tried."""
    before = owner(cluster)
    replica = cluster.replica_of(before)
    async with calling(kind, cluster.dsn, QUICK, wait_s=WITHIN_S) as producer:
        await asyncio.gather(*(producer("enqueue", change(str(user))) for user in range(10)))
        before.freeze()
        try:
            await owned_by(cluster, replica)
            await producer("enqueue", change("1001"))
            assert producer.owner_port == replica.port
        finally:
            before.thaw()


@both_kinds
async def test_a_cluster_that_was_down_is_used_again(cluster: ClusterSetup, kind: str) -> None:
    """The owner is cut off from the other primaries, and refuses all calls (CLUSTERDOWN) until it hears of them."""
    owning = owner(cluster)
    replicas = [await asyncio.to_thread(cluster.replica_of, node) for node in primaries(cluster)]
    cut_off = [node for node in cluster.nodes if node is not owning and node not in replicas]
    async with calling(kind, cluster.dsn, QUICK) as hasty, calling(kind, cluster.dsn, wait_s=WITHIN_S) as producer:
        await hasty("enqueue", change())
        for node in cut_off:
            node.freeze()
        try:
            while (await asyncio.to_thread(cluster.info, owning))["cluster_state"] == "ok":  # noqa: ASYNC110 - polls a server
                await asyncio.sleep(0.05)
            with pytest.raises(QueueUnavailable):
                await hasty("enqueue", change())
            waiting = asyncio.ensure_future(producer("enqueue", change()))
        finally:
            for node in cut_off:
                node.thaw()
        job = await waiting

        assert (await producer.of(job, "status")).position == 1


@both_kinds
async def test_readers_of_results_go_on_at_the_new_owner(cluster: ClusterSetup, kind: str) -> None:
    """One waits for a notification, the other in a blocking read of a stream; neither gets anything twice."""
    client: ArqRedis = open_redis(cluster.dsn, ArqRedis, timeout_s=5, wait_s=WITHIN_S)
    async with calling(kind, cluster.dsn, wait_s=WITHIN_S) as producer:
        batch = await producer("fan_out", [change(str(user)) for user in range(4)], batch_id="b")
        job = await producer("enqueue", change("9"))
        claims = {claim.lane.partition(":")[0]: claim for claim in await Lanes(client).claim()}
        lanes = Lanes(client)
        reading = asyncio.ensure_future(_results(producer.producer, batch))
        waiting_for_one = asyncio.ensure_future(producer.of(job, "result"))
        await lanes.done(claims["0"], user_id="0")
        await fail_over(cluster)
        for user in ("1", "2", "3", "9"):
            await lanes.done(claims[user], user_id=user)

        assert await reading == ["0", "1", "2", "3"]
        assert (await waiting_for_one).user_id == "9"
    await client.aclose()


async def _results(producer: object, batch: Any) -> list[str]:
    """Return the users of a batch's results, in their order."""
    if isinstance(producer, Producer):
        return [result.user_id async for result in batch.results()]
    return await asyncio.to_thread(lambda: [result.user_id for result in batch.results()])
