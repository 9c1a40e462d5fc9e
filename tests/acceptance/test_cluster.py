"""Producers and workers on a cluster of three primaries and three replicas, through the loss of the queue's primary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ops.redis_cluster import ClusterSetup, redis_cluster
from ops.stack import Stack, User, write_credentials
from producers import JobState, Producer
from producers.sync import Producer as PlainProducer
from producers.transport.dsn import open_redis
from tests.acceptance.conftest import USERS, WITHIN_S, Run
from tests.acceptance.test_main_job import do_the_main_job
from tests.support.changes import change, setting
from tests.support.clusters import empty, fail_over, owned_by, owner

PASSWORD = "the-nodes-own"
QUICK = {"COPYTRADE_REQUEST_TIMEOUT_S": "1", "COPYTRADE_REDIS_TIMEOUT_S": "1"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    """The cluster."""
    with redis_cluster(tmp_path_factory.mktemp("cluster"), password=PASSWORD) as running:
        yield running


@pytest.fixture
def cluster(running: ClusterSetup) -> ClusterSetup:
    """The cluster, whole and empty."""
    running.wait_until_formed()
    empty(running)
    return running


@pytest.fixture
async def stack(cluster: ClusterSetup, tmp_path: Path, log_path: Path) -> AsyncIterator[Stack]:
    """A double and credentials of forty users, on the cluster."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    async with Stack(cluster.dsn, credentials, credentials, environ=QUICK, log_path=log_path) as stack:
        yield stack


async def values_by_user(stack: Stack) -> dict[str, list[int]]:
    """Return the values that the exchange received from each user, in their order."""
    values: dict[str, list[int]] = {}
    for arrival in await stack.arrivals():
        if arrival["user"]:
            values.setdefault(arrival["user"], []).append(int(arrival["values"][0]))
    return values


async def assert_within_limits(stack: Stack) -> None:
    """Assert that no user exceeded its limit at the exchange."""
    report = await stack.report()
    assert report["throttled"] == 0
    assert max(user["peak_in_1s"] for user in report["users"].values()) <= 10


async def replicate(dsn: str) -> None:
    """Return when the replica has all that the owner has."""
    client: Redis = open_redis(dsn, Redis, timeout_s=20)
    async with client.client() as one:
        await one.set("{copytrade}:marker", "1")
        assert await one.wait(1, 10_000) == 1
        await one.delete("{copytrade}:marker")
    await client.aclose()


async def test_the_main_job_is_done_on_a_cluster(stack: Stack, run: Run, log_path: Path) -> None:
    """As on one server. No secret is in the log."""
    await do_the_main_job(stack, run)

    log = await asyncio.to_thread(log_path.read_text)
    assert "Traceback" not in log
    assert PASSWORD not in log


async def test_an_election_in_the_middle_of_a_fan_out_loses_nothing_that_the_replica_had(
    cluster: ClusterSetup, stack: Stack
) -> None:
    """With changes queued and in flight; producers of both kinds wait, and enqueue more at the new owner."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(cluster.dsn, wait_s=WITHIN_S) as producer:
        with PlainProducer.connect(cluster.dsn, wait_s=WITHIN_S) as plain:
            workers = await stack.start_workers(2)
            fan_outs = [
                await producer.fan_out(
                    trader_id="t1", settings=[setting(trace_value=str(number))], user_ids=USERS, batch_id=f"b{number}"
                )
                for number in range(1, 16)
            ]
            await fan_outs[0].wait()
            await replicate(cluster.dsn)
            killed = owner(cluster)

            await asyncio.to_thread(killed.kill)
            jobs = [await producer.enqueue(change(user, value="16")) for user in USERS]
            for user in USERS:
                job = await asyncio.to_thread(plain.enqueue, change(user, value="17"))
                jobs.append(producer.job(job.job_id))

            ends = [[(one.user_id, one.applied) async for one in batch.results()] for batch in fan_outs]
            results = await asyncio.gather(*(job.result() for job in jobs))
            progress = [await batch.progress() for batch in fan_outs]
            ended = [worker.returncode for worker in workers]
            values = await values_by_user(stack)
            await assert_within_limits(stack)
    await asyncio.to_thread(killed.start)

    assert ended == [None, None]
    assert all(sorted(end) == [(user, True) for user in USERS] for end in ends)
    assert [(one.total, one.ended) for one in progress] == [(len(USERS), len(USERS))] * len(fan_outs)
    assert all(result.applied for result in results)
    assert {user: list(dict.fromkeys(sent)) for user, sent in values.items()} == {
        user: list(range(1, 18)) for user in USERS
    }


async def test_a_failover_by_hand_loses_nothing_and_repeats_nothing(cluster: ClusterSetup, stack: Stack) -> None:
    """There and back, while workers send: each request is made once, in its order."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(cluster.dsn) as producer:
        # On a slow machine too, no request and no session is to seem lost.
        await stack.start_workers(2, COPYTRADE_REQUEST_TIMEOUT_S="10", COPYTRADE_SESSION_TTL_S="10")
        report = await producer.enqueue_many(
            change(user, value=str(number)) for number in range(1, 16) for user in USERS
        )
        await report.jobs[len(USERS)].result()
        for _ in range(2):
            await fail_over(cluster)
            await asyncio.to_thread(cluster.wait_until_formed)
        results = await asyncio.gather(*(job.result() for job in report.jobs))
        values = await values_by_user(stack)
        await assert_within_limits(stack)

    assert all(result.applied for result in results)
    assert values == {user: list(range(1, 16)) for user in USERS}


async def test_what_the_replica_had_not_got_is_lost_and_can_be_enqueued_again(
    cluster: ClusterSetup, stack: Stack
) -> None:
    """Replication is asynchronous. Changes that are lost are unknown, and no other change is harmed."""
    killed = await asyncio.to_thread(owner, cluster)
    replica = await asyncio.to_thread(cluster.replica_of, killed)
    async with asyncio.timeout(WITHIN_S), Producer.connect(cluster.dsn, wait_s=WITHIN_S) as producer:
        kept = (await producer.enqueue_many(change(user, value="1") for user in USERS)).jobs
        await replicate(cluster.dsn)
        replica.freeze()
        await asyncio.to_thread(cluster.command, killed, "CLIENT", "KILL", "TYPE", "replica")  # it has a buffer
        lost = (await producer.enqueue_many(change(user, value="2") for user in USERS)).jobs
        await asyncio.to_thread(killed.kill)
        replica.thaw()
        await owned_by(cluster, replica)

        states = {(await job.status()).state for job in kept}, {(await job.status()).state for job in lost}
        later = (await producer.enqueue_many(change(user, value="3") for user in USERS)).jobs
        again = [
            await producer.enqueue(change(user, value="4"), job_id=job.job_id)
            for user, job in zip(USERS, lost, strict=True)
        ]
        await stack.start_workers(2)
        results = await asyncio.gather(*(job.result() for job in (*kept, *later, *again)))
        values = await values_by_user(stack)
    await asyncio.to_thread(killed.start)

    assert states == ({JobState.QUEUED}, {JobState.NOT_FOUND})
    assert not any(job.already_there for job in again)
    assert all(result.applied for result in results)
    assert values == {user: [1, 3, 4] for user in USERS}
