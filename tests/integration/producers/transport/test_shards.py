"""The number of shards of a queue: stored with it, and checked before the first use of a shard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis
from redis import Redis as PlainRedis
from redis.asyncio import Redis

from ops.keys import KEYS
from producers import LayoutMismatch, MigrationRefused, Producer, SettingsError
from producers.sync.transport import run_plan as run_plan_sync
from producers.transport.clients import keyspace_of
from producers.transport.commands import GET
from producers.transport.runner import run_plan
from producers.transport.shards import Shards, open_shards
from tests.support.changes import change


@pytest.fixture
async def opened(valkey_dsn: str) -> AsyncIterator[Any]:
    """Open clients of a queue with a number of shards."""
    clients: list[Redis] = []

    def opened(shards: int) -> Shards[Redis]:
        found: Shards[Redis] = open_shards(valkey_dsn, Redis, shards=shards, keyspace=None, timeout_s=5)
        clients.extend(found.all())
        return found

    yield opened
    for client in clients:
        await client.aclose()


async def test_the_first_use_of_a_shard_stores_their_number(opened: Any, valkey: ArqRedis) -> None:
    """Beside the layout, in the home."""
    shards = opened(4)

    await run_plan(shards.of("1001"), GET("nothing"), "reading")

    assert await valkey.get(KEYS.layout) == b"2/4"


async def test_a_shard_says_their_number_too(opened: Any, valkey: ArqRedis) -> None:
    """It is written at its first use; one that began without it gets the home's. The home is not asked after that."""
    shards = opened(3)
    keys = [keyspace_of(shard).shards for shard in shards.clients]
    await run_plan(shards.clients[1], GET("nothing"), "reading")
    assert await valkey.mget(keys) == [None, b"3", None]

    await run_plan(opened(3).clients[0], GET("nothing"), "reading")
    await valkey.delete(KEYS.layout)
    await run_plan(opened(3).clients[0], GET("nothing"), "reading")

    assert await valkey.mget(keys) == [b"3", b"3", None]
    assert not await valkey.exists(KEYS.layout)


@pytest.mark.parametrize("first", ["home", "a shard"])
async def test_the_shards_keep_the_number_of_a_home_that_was_lost(opened: Any, valkey: ArqRedis, first: str) -> None:
    """Two and three shards have one in common: it refuses the other number, and the home gets the right one again."""
    for shard in opened(3).clients:
        await run_plan(shard, GET("nothing"), "reading")
    await valkey.delete(KEYS.layout)

    other = opened(2)
    with pytest.raises(LayoutMismatch, match="COPYTRADE_SHARDS=3, and this program has 2: set it to 3"):
        await run_plan(other.home if first == "home" else other.clients[0], GET("nothing"), "reading")
    assert not await valkey.exists(KEYS.layout)

    await run_plan(opened(3).home, GET("nothing"), "reading")
    assert await valkey.get(KEYS.layout) == b"2/3"


async def test_a_home_that_another_program_began_anew_is_named(opened: Any, valkey: ArqRedis) -> None:
    """The advice to take the home's number would lose the shards. They are served."""
    await run_plan(opened(3).clients[2], GET("nothing"), "reading")
    await valkey.set(KEYS.layout, "2/5")
    shards = opened(3)

    await run_plan(shards.clients[2], GET("nothing"), "reading")
    with pytest.raises(LayoutMismatch, match="the home of the queue says COPYTRADE_SHARDS=5, and its shards say 3"):
        await run_plan(shards.home, GET("nothing"), "reading")


@pytest.mark.parametrize("told", [2, 1])
async def test_another_number_of_shards_is_refused(opened: Any, told: int) -> None:
    """Before anything is written, by programs with shards and without."""
    await run_plan(opened(4).of("1001"), GET("nothing"), "reading")
    other = opened(told)

    with pytest.raises(LayoutMismatch, match="the queue began with COPYTRADE_SHARDS=4, and this program has"):
        await run_plan(other.of("1001"), GET("nothing"), "reading")


async def test_a_queue_without_shards_cannot_be_spread(opened: Any, valkey: ArqRedis) -> None:
    """What is in it would not be found."""
    await Producer(valkey).enqueue(change("1001"))

    with pytest.raises(LayoutMismatch, match="the queue began with COPYTRADE_SHARDS=1, and this program has 4"):
        await run_plan(opened(4).of("1001"), GET("nothing"), "reading")


async def test_a_program_without_shards_that_began_at_the_same_moment_is_refused_by_the_scripts(opened: Any) -> None:
    """It read the number before the others stored it, and reads it once."""
    single = Producer(opened(1))
    await single.overview()
    await run_plan(opened(5).of("1001"), GET("nothing"), "reading")

    for _ in range(2):
        with pytest.raises(LayoutMismatch, match=r"change j was not accepted: the queue has another number of shards"):
            await single.enqueue(change("1001"), job_id="j")


@pytest.mark.parametrize("told", [2, 1])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_queue_with_another_number_of_shards_is_not_migrated(opened: Any, told: int, dry_run: bool) -> None:
    """Nor is "nothing to move" said of it."""
    await run_plan(opened(4).of("1001"), GET("nothing"), "reading")

    with pytest.raises(MigrationRefused, match=f"COPYTRADE_SHARDS=4, and this program has {told}: set it to 4"):
        await Producer(opened(told)).migrate(dry_run=dry_run)


async def test_looking_for_what_there_is_to_migrate_writes_nothing(opened: Any, valkey: ArqRedis) -> None:
    """Also with shards, whose number the first use stores."""
    assert (await Producer(opened(4)).migrate(dry_run=True)).lanes == 0
    assert await valkey.dbsize() == 0


def test_threads_check_the_number_too(valkey_dsn: str) -> None:
    """By the synchronous client."""
    two, three = (open_shards(valkey_dsn, PlainRedis, shards=n, keyspace=None, timeout_s=5) for n in (2, 3))

    run_plan_sync(two.of("1"), GET("nothing"), "reading")
    with pytest.raises(LayoutMismatch, match="COPYTRADE_SHARDS=2, and this program has 3"):
        run_plan_sync(three.of("1"), GET("nothing"), "reading")
    for client in (*two.all(), *three.all()):
        client.close()


def test_one_shard_is_the_home(valkey_dsn: str) -> None:
    """Its keys are those of a queue that knows no shards; more than 64, or none, is refused."""
    shards = open_shards(valkey_dsn, PlainRedis, shards=1, keyspace=None, timeout_s=5)

    assert shards.clients == (shards.home,)
    assert keyspace_of(shards.home).tag == ""
    for number in (0, 65):
        with pytest.raises(SettingsError, match=f"COPYTRADE_SHARDS: must be from 1 to 64; got {number}"):
            open_shards(valkey_dsn, PlainRedis, shards=number, keyspace=None, timeout_s=5)
