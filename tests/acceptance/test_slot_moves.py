"""The queue's slot is moved to another primary of a cluster, in both ways, while producers enqueue and workers send.

The nodes have the configuration and the users of ops/deploy/cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from ops.redis_cluster import ClusterSetup, redis_cluster
from ops.redis_server import free_port
from ops.slot_moves import move_atomically, move_key_by_key, other_primary
from ops.stack import Stack, User, write_credentials
from producers import Job, Producer
from producers.monitor.checks import CheckStatus
from producers.monitor.doctor import diagnose
from tests.acceptance.conftest import USERS, WITHIN_S
from tests.acceptance.test_cluster import assert_within_limits, values_by_user
from tests.support.changes import change
from tests.support.clusters import SLOT, empty, owner
from tests.support.deploy import DEPLOY, node_configuration
from worker.logs import Event

OPERATOR = "copytrade-operator"
ROUNDS = 15
BEING_MOVED = "the queue's slot is being moved to another node, key by key"
PATIENT = {"COPYTRADE_REQUEST_TIMEOUT_S": "10", "COPYTRADE_LOG_FORMAT": "json"}
"""No request is to seem lost: it would be repeated."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    """The cluster."""
    folder = tmp_path_factory.mktemp("cluster")
    users = folder / "users.acl"
    users.write_bytes((DEPLOY.parent / "redis.acl").read_bytes() + (DEPLOY / "cluster/users.acl").read_bytes())
    config = node_configuration(DEPLOY / "valkey.conf", DEPLOY / "cluster/node.conf", users)
    with redis_cluster(
        folder, user=OPERATOR, password="CHANGE-operator", config=config, with_replicas=False
    ) as running:
        yield running


@pytest.fixture
def cluster(running: ClusterSetup) -> ClusterSetup:
    """The cluster, empty. The slot may have any owner."""
    empty(running)
    return running


@pytest.fixture
async def stack(cluster: ClusterSetup, tmp_path: Path, log_path: Path) -> AsyncIterator[Stack]:
    """A double and credentials of forty users, on the cluster."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    async with Stack(cluster.dsn, credentials, credentials, environ=PATIENT, log_path=log_path) as stack:
        yield stack


async def enqueue_rounds(producer: Producer) -> list[Job]:
    """Enqueue a change of each user in each round, one call a round."""
    jobs: list[Job] = []
    for number in range(1, ROUNDS + 1):
        report = await producer.enqueue_many(change(user, value=str(number)) for user in USERS)
        jobs += report.jobs
    return jobs


async def assert_all_applied(jobs: list[Job]) -> None:
    """Wait for all results, and assert that each change was applied."""
    assert len(jobs) == ROUNDS * len(USERS)
    results = await asyncio.gather(*(job.result() for job in jobs))
    assert all(result.applied for result in results)


def events(log_path: Path, event: Event) -> list[str]:
    """Return the messages of the log's lines of an event."""
    lines = [msgspec.json.decode(line) for line in log_path.read_bytes().splitlines()]
    return [line["message"] for line in lines if line.get("event") == event]


async def logged_twice(log_path: Path, event: Event, text: str = "") -> None:
    """Wait until both workers have logged an event with a text."""
    while sum(text in message for message in events(log_path, event)) < 2:  # noqa: ASYNC110 - other processes write the log
        await asyncio.sleep(0.05)


async def test_an_atomic_move_under_load_loses_nothing_and_repeats_nothing(cluster: ClusterSetup, stack: Stack) -> None:
    """From node to node, while changes are enqueued and sent: each request is made once, in its order."""
    owners = set()
    async with asyncio.timeout(WITHIN_S), Producer.connect(cluster.dsn, wait_s=WITHIN_S) as producer:
        await stack.start_workers(2)
        enqueuing = asyncio.create_task(enqueue_rounds(producer))
        for _ in range(3):
            target = await asyncio.to_thread(other_primary, cluster, SLOT)
            await asyncio.to_thread(move_atomically, cluster, SLOT, target)
            owners.add((await asyncio.to_thread(owner, cluster)).port)
        await assert_all_applied(await enqueuing)
        values = await values_by_user(stack)
        await assert_within_limits(stack)

    assert len(owners) > 1
    assert values == {user: list(range(1, ROUNDS + 1)) for user in USERS}


async def test_while_keys_move_one_by_one_nothing_is_served_and_nothing_is_lost(
    cluster: ClusterSetup, stack: Stack, log_path: Path
) -> None:
    """Without a pause: the workers wait and say why, so does the doctor; afterwards all goes on, in order."""
    port = free_port()
    async with (
        asyncio.timeout(WITHIN_S),
        Producer.connect(cluster.dsn, wait_s=WITHIN_S) as producer,
        aiohttp.ClientSession() as http,
    ):
        await stack.start_workers(COPYTRADE_METRICS_PORT=f"{port}")
        await stack.start_workers()
        await logged_twice(log_path, Event.STARTED)
        enqueuing = asyncio.create_task(enqueue_rounds(producer))
        await (await producer.enqueue(change(USERS[0], value="0"))).result()
        target = await asyncio.to_thread(other_primary, cluster, SLOT)
        moving = move_key_by_key(cluster, SLOT, target)
        await asyncio.to_thread(next, moving)
        await asyncio.to_thread(next, moving)
        reason = await unready_reason(http, port)
        await logged_twice(log_path, Event.REDIS_AWAY, BEING_MOVED)
        found = await diagnose(dsn=cluster.dsn)
        moved = await asyncio.to_thread(list, moving)
        await assert_all_applied(await enqueuing)
        await logged_twice(log_path, Event.REDIS_BACK)
        values = await values_by_user(stack)
        await assert_within_limits(stack)

    assert moved
    assert BEING_MOVED in reason
    assert {BEING_MOVED in check.detail for check in found if check.status is CheckStatus.FAIL} == {True}
    sent = {user: [value for value in dict.fromkeys(values[user]) if value] for user in USERS}
    assert sent == {user: list(range(1, ROUNDS + 1)) for user in USERS}


async def unready_reason(http: aiohttp.ClientSession, port: int) -> str:
    """Wait until a worker is not ready because of Redis; return the reason."""
    while True:
        async with http.get(f"http://127.0.0.1:{port}/readyz") as response:
            text = await response.text()
        if response.status != 200 and "redis" in text:
            return text
        await asyncio.sleep(0.05)


async def test_after_a_pause_a_move_key_by_key_repeats_nothing(cluster: ClusterSetup, stack: Stack) -> None:
    """Everything is paused until nothing is in flight; then the slot moves; then everything is resumed."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(cluster.dsn, wait_s=WITHIN_S) as producer:
        await stack.start_workers(2)
        enqueuing = asyncio.create_task(enqueue_rounds(producer))
        await (await producer.enqueue(change(USERS[0], value="0"))).result()
        await producer.pause(everything=True)
        while (await producer.overview()).in_flight:  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.02)
        target = await asyncio.to_thread(other_primary, cluster, SLOT)
        await asyncio.to_thread(list, move_key_by_key(cluster, SLOT, target))
        await producer.resume(everything=True)
        await assert_all_applied(await enqueuing)
        values = await values_by_user(stack)
        await assert_within_limits(stack)

    assert {user: [value for value in values[user] if value] for user in USERS} == {
        user: list(range(1, ROUNDS + 1)) for user in USERS
    }
