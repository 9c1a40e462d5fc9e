"""Being told at once that a change has ended, or a batch is complete: one subscription connection, for all who wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from producers.transport.cancellation import cancel_and_wait

RECONNECT_S = 0.2
"""Pause before a lost subscription is renewed; waiters look by themselves in the meantime."""

SILENCE_S = 30.0
"""How long one read lasts. Given to redis-py, since its own limit would take silence for a lost connection."""


LOST = (RedisError, OSError, AttributeError, RuntimeError)
"""What redis-py raises for a lost connection; the last two when it is lost between two steps of a command."""


class _Channel:
    """One channel: who waits, each with an event of its own, and whether the server confirmed."""

    def __init__(self) -> None:
        self.waiters: set[asyncio.Event] = set()
        self.confirmed = asyncio.Event()

    def announce(self) -> None:
        for waiter in self.waiters:
            waiter.set()


class NotificationListener:
    """Announcements over one Redis connection, opened at the first wait."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._channels: dict[str, _Channel] = {}
        self._pubsub: PubSub | None = None
        self._reader: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    @asynccontextmanager
    async def listen(self, name: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the caller must look: the channel was told, or listening has only begun by now.

        What ended before that must be looked up by the caller, inside the body.
        """
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = _Channel()
        event = asyncio.Event()
        channel.waiters.add(event)
        try:
            await self._subscribe(name)
            yield event
        finally:
            channel.waiters.remove(event)
            if not channel.waiters:
                self._channels.pop(name, None)
                with suppress(*LOST):
                    await self._unsubscribe(name)

    async def close(self) -> None:
        """Ends the subscription."""
        async with self._turn:
            self._closed = True
            if self._reader is not None:
                await cancel_and_wait(self._reader)
                self._reader = None
            if self._pubsub is not None:
                await self._pubsub.aclose()  # type: ignore[no-untyped-call]
                self._pubsub = None

    async def _subscribe(self, name: str) -> None:
        with suppress(*LOST):  # the waiter looks by itself
            await asyncio.shield(self._tell_server(name))

    async def _unsubscribe(self, name: str) -> None:
        await asyncio.shield(self._tell_server(name))

    async def _tell_server(self, name: str) -> None:
        """Subscribes to what somebody waits for, and else unsubscribes.

        One at a time, for redis-py's PubSub opens a connection for each of several first callers and keeps the last;
        and to its end, for a waiter that gives up must not cut a command short that all the others share.
        """
        async with self._turn:
            if self._closed:
                return
            if self._pubsub is None:
                self._pubsub = self._redis.pubsub()
            if name in self._channels:
                await self._pubsub.subscribe(name)
            else:
                await self._pubsub.unsubscribe(name)
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._read(self._pubsub), name="copytrade results")

    async def _read(self, pubsub: PubSub) -> None:
        while not self._closed:
            try:
                await self._be_connected(pubsub)
                message: dict[str, Any] | None = await pubsub.get_message(timeout=SILENCE_S)
            except LOST:
                await asyncio.sleep(RECONNECT_S)
                self._announce_all()
                continue
            # A handshake's reply may come as a message of no channel.
            name = None if message is None else message["channel"]
            channel = self._channels.get(name.decode()) if isinstance(name, bytes) else None
            if message is None or channel is None:
                continue
            if message["type"] == "subscribe":
                channel.confirmed.set()
            channel.announce()  # a confirmation too: what ended before it was not announced here

    async def _be_connected(self, pubsub: PubSub) -> None:
        """Renews a lost connection, and with it the subscriptions; not while a command does, which would share it."""
        async with self._turn:
            if pubsub.connection is not None and not pubsub.connection.is_connected:
                await pubsub.connection.connect()

    def _announce_all(self) -> None:
        """What was announced while the connection was away is unknown: everybody looks again."""
        for channel in self._channels.values():
            channel.confirmed.set()
            channel.announce()
