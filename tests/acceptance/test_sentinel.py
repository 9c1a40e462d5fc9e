"""A failover by real sentinels with a password of their own: producers and workers go on with the new master."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ops.redis_server import SentinelSetup, sentinel_setup
from ops.stack import Stack, User, write_credentials
from producers import Producer, QueueUnavailable
from producers.sync import Producer as PlainProducer
from producers.transport.dsn import open_redis
from tests.acceptance.conftest import WITHIN_S
from tests.support.changes import change
from tests.support.relays import relay
from tests.support.tls import Authority

USERS = tuple(str(number) for number in range(1001, 1007))
PASSWORD, SENTINEL_PASSWORD = "the-servers-own", "the-sentinels-own"
QUICK = {"COPYTRADE_REQUEST_TIMEOUT_S": "1", "COPYTRADE_REDIS_TIMEOUT_S": "1"}


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[SentinelSetup]:
    """A master, a replica and three sentinels."""
    with sentinel_setup(tmp_path / "redis", password=PASSWORD, sentinel_password=SENTINEL_PASSWORD) as watched:
        yield watched


@pytest.fixture
def dsn(watched: SentinelSetup) -> str:
    """The DSN that names the master."""
    return f"sentinel://:{PASSWORD}@{watched.hosts}/{watched.name}/0?sentinel_password={SENTINEL_PASSWORD}"


@pytest.fixture
async def operator(watched: SentinelSetup, dsn: str) -> AsyncIterator[Redis]:
    """A client of the master, once all servers know each other."""
    asking: Any = Redis(port=watched.sentinels[0].port, password=SENTINEL_PASSWORD)
    client: Redis = open_redis(dsn, Redis, timeout_s=2)
    async with asyncio.timeout(WITHIN_S):
        while True:
            known = (await asking.sentinel_masters())[watched.name]
            if known["num-other-sentinels"] == 2 and known["num-slaves"] == 1 and await _follows(client):
                break
            await asyncio.sleep(0.1)
    await asking.aclose()
    yield client
    await client.aclose()


async def _follows(client: Redis) -> bool:
    try:
        replication = await client.info("replication")
    except RedisError:
        return False
    return bool(replication["connected_slaves"])


async def test_a_failover_loses_nothing_that_the_replica_had(
    watched: SentinelSetup, dsn: str, operator: Redis, tmp_path: Path
) -> None:
    """With changes queued and in flight; producers of both kinds wait, and enqueue more at the new master."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    log_path = tmp_path / "log"
    async with (
        asyncio.timeout(WITHIN_S),
        Stack(dsn, credentials, credentials, environ=QUICK, log_path=log_path) as stack,
        Producer.connect(dsn, wait_s=30) as producer,
    ):
        with PlainProducer.connect(dsn, wait_s=30) as plain:
            workers = await stack.start_workers(2)
            changes = [change(user, value=str(number)) for number in range(1, 13) for user in USERS]
            jobs = (await producer.enqueue_many(changes)).jobs
            await jobs[len(USERS)].result()
            async with operator.client() as one:
                await one.set("marker", "1")
                assert await one.wait(1, 10_000) == 1, "the replica has all that was accepted"

            await asyncio.to_thread(watched.master.kill)
            for number in range(13, 17):
                jobs += [await producer.enqueue(change(user, value=str(number))) for user in USERS]
            for user in USERS:
                job = await asyncio.to_thread(plain.enqueue, change(user, value="17"))
                jobs.append(producer.job(job.job_id))

            results = await asyncio.gather(*(job.result() for job in jobs))
            arrivals = [arrival for arrival in await stack.arrivals() if arrival["user"]]
            pool: Any = operator.connection_pool
            address = await pool.current().get_master_address()
            ended = [worker.returncode for worker in workers]

    log = log_path.read_text()
    assert ended == [None, None], log
    assert all(result.applied for result in results)
    for user in USERS:
        values = [int(arrival["values"][0]) for arrival in arrivals if arrival["user"] == user]
        assert list(dict.fromkeys(values)) == list(range(1, 18))
    assert address[1] == watched.replica.port
    assert PASSWORD not in log
    assert SENTINEL_PASSWORD not in log


@pytest.mark.usefixtures("operator")
async def test_clients_leave_a_master_that_became_a_replica(watched: SentinelSetup, dsn: str) -> None:
    """A planned failover kills no process: a client must not stay with a server that answers READONLY."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(dsn, wait_s=30) as producer:
        await producer.enqueue(change("1001"))
        asking: Any = Redis(port=watched.sentinels[0].port, password=SENTINEL_PASSWORD)
        while (await asking.sentinel_masters())[watched.name]["port"] != watched.replica.port:
            with suppress(RedisError):  # the sentinels have not heard of the replica's state yet, or it is under way
                await asking.sentinel_failover(watched.name)
            await asyncio.sleep(0.2)
        await asking.aclose()

        jobs = [await producer.enqueue(change("1001", value=str(number))) for number in range(2, 5)]
        there = [(await job.status()).position for job in jobs]

    assert there == [1, 2, 3]


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("wrong", [PASSWORD, SENTINEL_PASSWORD])
async def test_a_wrong_password_is_reported_without_showing_it(dsn: str, wrong: str) -> None:
    """Of the servers and of the sentinels."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(dsn.replace(wrong, "not-this"), wait_s=1) as producer:
        with pytest.raises(QueueUnavailable) as caught:
            await producer.paused()

    assert "not-this" not in str(caught.value)
    assert "password" in str(caught.value)


@pytest.mark.usefixtures("operator")
async def test_sentinels_may_speak_tls_while_the_servers_do_not(
    watched: SentinelSetup, dsn: str, tmp_path: Path
) -> None:
    """With a private authority and a restricted user, for producers of both kinds."""
    authority = Authority.new(tmp_path)
    async with asyncio.timeout(WITHIN_S), relay(watched.sentinels[1].port, authority.context("localhost")) as between:
        secured = (
            dsn.replace(watched.hosts, f"localhost:{between.port}") + "&sentinel_tls=true&sentinel_username=watcher"
        )
        trusting = f"{secured}&ssl_ca_certs={authority.path}"
        async with Producer.connect(trusting) as producer:
            assert await producer.paused() == []
        with PlainProducer.connect(trusting) as plain:
            assert await asyncio.to_thread(plain.paused) == []
        async with Producer.connect(secured) as producer:
            with pytest.raises(QueueUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await producer.paused()
