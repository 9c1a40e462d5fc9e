"""The connections of a client of a cluster: which are used, and when the owner is asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from producers.transport import cluster_pool, sync_cluster_pool
from producers.transport.connections import NotConnected, SlotMoved

A, B = ("10.0.0.1", 1), ("10.0.0.2", 2)


class World:
    """The cluster: which node owns all slots, and what a command is replied."""

    def __init__(self) -> None:
        self.owner = A
        self.searches = 0
        self.reply: Exception | str = "OK"


@pytest.fixture
def world() -> World:
    """A cluster of A, the owner, and B."""
    return World()


class Connection:
    """Stands for a connection that does no I/O; to a node that is asked, and to the owner."""

    def __init__(self, world: World, host: str = "", port: int = 0, **_: object) -> None:
        self.world, self.host, self.port = world, host, port
        self.is_asking = bool(host)
        self.pool_in_use: Any = None
        self.close_now()

    @property
    def usable(self) -> bool:
        """Nobody closes it from the other end."""
        return self.is_connected

    def close_now(self) -> None:
        """Close it."""
        self.is_connected, self._sock = False, None

    def open(self) -> None:
        """Open it."""
        self.is_connected, self._sock = True, "a socket"  # type: ignore[assignment]

    def replied(self) -> object:
        """Return, or raise, what the node replies."""
        if self.is_asking:
            self.world.searches += 1
            return [[0, 16383, [self.world.owner[0].encode(), self.world.owner[1], b"id"]]]
        if isinstance(self.world.reply, Exception):
            raise self.world.reply
        return self.world.reply


class AsyncConnection(Connection):
    """As those of redis.asyncio."""

    async def connect(self) -> None:
        """Open it, after others had their turn."""
        await asyncio.sleep(0)
        self.open()

    async def send_command(self, *_: object) -> None:
        """Send nothing."""

    async def read_response(self) -> object:
        """Return the reply."""
        await asyncio.sleep(0)
        return self.replied()


class SyncConnection(Connection):
    """As those of redis.Redis."""

    pid = os.getpid()

    def connect(self) -> None:
        """Open it."""
        self.open()

    def send_command(self, *_: object) -> None:
        """Send nothing."""

    def read_response(self) -> object:
        """Return the reply."""
        return self.replied()


class AsyncFollowing(cluster_pool._Following, AsyncConnection):
    """Follows the owner."""


class SyncFollowing(sync_cluster_pool._Following, SyncConnection):
    """Follows the owner."""


class Pool:
    """A pool of either kind, for a test in an event loop."""

    def __init__(self, world: World, kind: str) -> None:
        options: dict[str, Any] = {"world": world, "max_connections": 9, "wait_s": 0}
        if kind == "asynchronous":
            self.pool: Any = cluster_pool.ClusterLoopPool(
                "{copytrade}", [A, B], AsyncConnection, {"world": world}, connection_class=AsyncFollowing, **options
            )
        else:
            self.pool = sync_cluster_pool.SyncClusterPool(
                "{copytrade}", [A, B], SyncConnection, {"world": world}, connection_class=SyncFollowing, **options
            )

    async def call(self, owned: Any, method: str, *arguments: Any) -> Any:
        """Call a method of the pool, or of one of its connections."""
        result = getattr(owned, method)(*arguments)
        return await result if asyncio.iscoroutine(result) else result

    async def get(self) -> Any:
        """Return a connection."""
        return await self.call(self.pool, "get_connection")

    async def release(self, *connections: Any) -> None:
        """Give connections back."""
        for connection in connections:
            await self.call(self.pool, "release", connection)


@pytest.fixture(params=["asynchronous", "synchronous"])
def pool(request: pytest.FixtureRequest, world: World) -> Iterator[Pool]:
    """A pool of each kind."""
    pool = Pool(world, request.param)
    yield pool
    if request.param == "synchronous":
        pool.pool.disconnect()  # ends the timer


async def test_the_owner_is_asked_for_once(pool: Pool, world: World) -> None:
    """While it serves, more connections lead there without a search, and idle ones are used again."""
    connections = [await pool.get() for _ in range(3)]
    await pool.release(*connections)

    assert {(each.host, each.port) for each in connections} == {A}
    assert await pool.get() in connections
    assert world.searches == 1


async def test_no_idle_connection_is_used_after_one_got_no_reply(pool: Pool, world: World) -> None:
    """An owner that hangs keeps them all open: each would cost a time-out."""
    used, *idle = [await pool.get() for _ in range(4)]
    await pool.release(*idle)
    world.reply = RedisTimeoutError("slow")
    with pytest.raises(RedisTimeoutError):
        await pool.call(used, "read_response")
    world.owner, world.reply = B, "OK"

    fresh = await pool.get()

    assert (fresh.host, fresh.port) == B
    assert not any(each.is_connected for each in idle)


async def test_idle_connections_are_used_again_if_the_owner_is_still_the_owner(pool: Pool, world: World) -> None:
    """A single slow reply costs a search, and those connections that were asked for before it."""
    slow, *idle = [await pool.get() for _ in range(3)]
    world.reply = RedisTimeoutError("slow")
    with pytest.raises(RedisTimeoutError):
        await pool.call(slow, "read_response")
    await pool.call(pool.pool, "find_owner")
    await pool.release(slow, *idle)

    assert await pool.get() in [slow, *idle]
    assert world.searches == 2


async def test_a_connection_to_a_former_owner_is_closed_when_it_is_given_back(pool: Pool, world: World) -> None:
    """It was in use while the slot moved."""
    moved, in_use = await pool.get(), await pool.get()
    world.owner, world.reply = B, ResponseError("MOVED 9263 10.0.0.2:2")
    with pytest.raises(SlotMoved):
        await pool.call(moved, "read_response")
    await pool.release(moved, in_use)

    assert not moved.is_connected
    assert not in_use.is_connected
    fresh = await pool.get()
    assert (fresh.host, fresh.port) == B


async def test_an_owner_at_its_limit_of_clients_keeps_its_idle_connections(pool: Pool, world: World) -> None:
    """One more client is refused; those that are there go on."""
    used, idle = await pool.get(), await pool.get()
    await pool.release(idle)
    world.reply = NotConnected("max number of clients reached")
    with pytest.raises(NotConnected):
        await pool.call(used, "read_response")

    assert await pool.get() is idle
    assert world.searches == 1
