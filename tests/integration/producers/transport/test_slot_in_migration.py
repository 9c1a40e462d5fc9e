"""The queue's slot while it is moved key by key: every call is refused before it has done anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from redis.exceptions import ResponseError

from ops.redis_cluster import ClusterSetup, redis_cluster
from ops.slot_moves import move_key_by_key, other_primary
from producers import QueueUnavailable
from tests.support.changes import change
from tests.support.clusters import KINDS, SLOT, WITHIN_S, calling, empty, fail_over, owned_by, owner

USERS = tuple(f"{number}" for number in range(1001, 1101))
both_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    """The cluster."""
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def cluster(running: ClusterSetup) -> ClusterSetup:
    """The cluster, whole and empty. The slot may have any owner."""
    running.wait_until_formed()
    empty(running)
    return running


@both_kinds
async def test_no_call_is_served_from_the_beginning_of_a_move_to_its_end(cluster: ClusterSetup, kind: str) -> None:
    """Before the first key has moved, and in the middle; then all is there, and nothing more."""
    async with asyncio.timeout(WITHIN_S), calling(kind, cluster.dsn) as call:
        report = await call("enqueue_many", [change(user) for user in USERS])
        target = await asyncio.to_thread(other_primary, cluster, SLOT)
        moving = move_key_by_key(cluster, SLOT, target)
        for _ in range(2):
            await asyncio.to_thread(next, moving)
            for method, arguments in (("enqueue", (change("1001"),)), ("overview", ()), ("cancel_user", ("1001",))):
                with pytest.raises(QueueUnavailable, match="moved to another node, key by key"):
                    await call(method, *arguments)
        await asyncio.to_thread(list, moving)
        overview = await call("overview")

    assert len(report.jobs) == overview.interactive.users == len(USERS)
    assert await asyncio.to_thread(owner, cluster) is target


async def test_a_script_that_names_a_key_that_is_there_is_stopped_midway(cluster: ClusterSetup) -> None:
    """What it has written stays: so scripts name a key that never exists, and are refused before they run."""
    source = await asyncio.to_thread(owner, cluster)
    for number in range(200):
        cluster.command(source, "SET", f"{{copytrade}}:k{number}", "1")
    moving = move_key_by_key(cluster, SLOT, await asyncio.to_thread(other_primary, cluster, SLOT))
    for _ in range(2):
        await asyncio.to_thread(next, moving)
    here = {key.decode() for key in cluster.command(source, "CLUSTER", "GETKEYSINSLOT", SLOT, 1000)}
    gone = next(key for number in range(200) if (key := f"{{copytrade}}:k{number}") not in here)
    text = "redis.call('SET', ARGV[1], 'written') redis.call('GET', ARGV[2])"
    written = min(here)

    with pytest.raises(ResponseError, match=r"^ASK "):
        cluster.command(source, "EVAL", text, 1, "{copytrade}:never", written, gone)
    assert cluster.command(source, "GET", written) == b"1"
    with pytest.raises(ResponseError, match="non local key"):
        cluster.command(source, "EVAL", text, 1, written, written, gone)
    assert cluster.command(source, "GET", written) == b"written"
    await asyncio.to_thread(list, moving)


async def test_a_replica_that_takes_over_in_the_middle_goes_on_refusing(cluster: ClusterSetup) -> None:
    """It knows that the slot is being moved; the move is carried on from there."""
    async with asyncio.timeout(WITHIN_S), calling("asynchronous", cluster.dsn) as call:
        await call("enqueue_many", [change(user) for user in USERS])
        target = await asyncio.to_thread(other_primary, cluster, SLOT)
        moving = move_key_by_key(cluster, SLOT, target)
        for _ in range(2):
            await asyncio.to_thread(next, moving)
        await fail_over(cluster)
        with pytest.raises(QueueUnavailable, match="moved to another node, key by key"):
            await call("enqueue", change("1001"))
        await asyncio.to_thread(list, move_key_by_key(cluster, SLOT, target))
        await owned_by(cluster, target)
        overview = await call("overview")

    assert overview.interactive.users == len(USERS)
