"""Turns at a bounded number of connections."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from producers.transport.connections import NoFreeConnection, NotConnected
from producers.transport.loop_pool import LoopPool
from producers.transport.sync_pools import Turns


class Connection:
    """Stands for a connection: opens unless it is told not to."""

    refused = False

    def __init__(self, **_: object) -> None:
        self.is_connected = self.usable = False
        self.pool_in_use: Any = None

    async def connect(self) -> None:
        """Open it, after others had their turn."""
        await asyncio.sleep(0)
        if self.refused:
            raise RedisConnectionError("max number of clients reached")
        self.is_connected = self.usable = True

    def close_now(self) -> None:
        """Close it."""
        self.is_connected = self.usable = False


def pool(max_connections: int, wait_s: float = 20.0) -> LoopPool:
    return LoopPool(connection_class=Connection, max_connections=max_connections, wait_s=wait_s)


async def test_callers_get_connections_in_the_order_in_which_they_came() -> None:
    """A caller that comes when one is given back does not pass those that wait; one that gives up is skipped."""
    limited, order = pool(1), []
    connection = await limited.get_connection()

    async def use(name: str) -> None:
        taken = await limited.get_connection()
        order.append(name)
        await limited.release(taken)

    waiting = [asyncio.create_task(use(name)) for name in "abcd"]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await limited.release(connection)
    waiting.append(asyncio.create_task(use("late")))
    await asyncio.gather(*waiting, return_exceptions=True)

    assert order == ["a", "c", "d", "late"]


async def test_a_caller_waits_no_longer_than_its_time_out() -> None:
    """The error names the setting, and the turn goes to others."""
    limited = pool(1, wait_s=0.01)
    connection = await limited.get_connection()

    with pytest.raises(NoFreeConnection, match=r"\(COPYTRADE_REDIS_CONNECTIONS\) were in use for 0\.01 s"):
        await limited.get_connection()

    await limited.release(connection)
    assert await limited.get_connection() is connection


async def test_a_dead_connection_is_not_preferred_to_a_live_one() -> None:
    """The dead one was used last; it is closed, and no other is opened."""
    limited = pool(2)
    live, dead = [await limited.get_connection() for _ in range(2)]
    await limited.release(live)
    await limited.release(dead)
    dead.usable = False

    assert await limited.get_connection() is live
    assert not dead.is_connected


async def test_a_caller_that_is_refused_takes_what_was_given_back_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server at its limit of clients fails nobody beside an idle connection."""
    limited = pool(3)
    connection = await limited.get_connection()
    monkeypatch.setattr(Connection, "refused", True)
    refused = asyncio.create_task(limited.get_connection())
    await asyncio.sleep(0)
    await limited.release(connection)

    assert await refused is connection
    with pytest.raises(NotConnected):
        await limited.get_connection()


async def test_waiters_go_on_after_their_pool_was_closed() -> None:
    """What they open is closed when they give it back."""
    limited = pool(1)
    connection = await limited.get_connection()
    waiting = asyncio.create_task(limited.get_connection())
    await asyncio.sleep(0)
    limited.abandon()
    await limited.release(connection)

    late = await waiting
    await limited.release(late)

    assert not late.is_connected


def test_threads_get_turns_in_the_order_in_which_they_came() -> None:
    """A thread that comes when a turn ends does not pass those that wait; one that gives up is skipped."""
    turns, order = Turns(1), []
    assert turns.acquire(0)
    assert not turns.acquire(0.001)

    def use(name: str) -> None:
        assert turns.acquire(20)
        order.append(name)
        turns.release()

    threads = []
    for name in "abc":
        threads.append(threading.Thread(target=use, args=name))
        threads[-1].start()
        while len(turns._waiting) < len(threads):
            pass
    turns.release()
    for thread in threads:
        thread.join()

    assert order == ["a", "b", "c"]
    assert turns.acquire(0)
