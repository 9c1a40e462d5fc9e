"""Notifications that a change has finished or a batch is complete: one subscription connection for all waiters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from producers.transport.cancellation import cancel_and_wait
from producers.transport.loops import PerLoop

RECONNECT_S = 0.2
"""Pause before a lost subscription is renewed. Waiters poll in the meantime."""

SILENCE_S = 30.0
"""How long one read lasts. redis-py's own limit, its socket time-out, would take silence for a lost connection."""

LOST = (RedisError, OSError, AttributeError, RuntimeError)
"""What redis-py raises for a lost connection; the last two if it is lost in the middle of a command."""


class _Channel:
    """The waiters of one channel, and whether the server has confirmed the subscription."""

    def __init__(self) -> None:
        self.waiters: set[asyncio.Event] = set()
        self.confirmed = asyncio.Event()

    def wake(self) -> None:
        for waiter in self.waiters:
            waiter.set()


class NotificationListener:
    """Subscriptions of a producer: in each event loop, all waiters share one connection."""

    def __init__(self, redis: Redis) -> None:
        self._per_loop = PerLoop(lambda: LoopListener(redis), close=LoopListener.close, abandon=LoopListener.abandon)

    @asynccontextmanager
    async def listen(self, name: str) -> AsyncIterator[asyncio.Event]:
        """Subscribe to a channel, as `LoopListener.listen` does.

        Raises:
            WrongEventLoop: another event loop is using this producer.
        """
        async with self.current().listen(name) as event:
            yield event

    def current(self) -> LoopListener:
        """Return the listener of the running event loop."""
        return self._per_loop.current()

    async def close(self) -> None:
        """Unsubscribe from everything, and close the connection."""
        await self._per_loop.close()


class LoopListener:
    """Subscriptions over one connection, which is opened at the first wait, and given back when nobody waits."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._channels: dict[str, _Channel] = {}
        self._pubsub: PubSub | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    @asynccontextmanager
    async def listen(self, name: str) -> AsyncIterator[asyncio.Event]:
        """Subscribe to a channel. The event is set when the caller must poll.

        It is set by each notification, when the subscription is confirmed, and when a lost connection is renewed:
        notifications from before that may be lost.
        """
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = _Channel()
        event = asyncio.Event()
        channel.waiters.add(event)
        try:
            await self._update_shielded(name)
            yield event
        finally:
            channel.waiters.remove(event)
            if not channel.waiters:
                self._channels.pop(name, None)
                await self._update_shielded(name)

    async def close(self) -> None:
        """Unsubscribe from everything, and close the connection."""
        async with self._lock:
            self._closed = True
            if self._reader is not None:
                await cancel_and_wait(self._reader)
                self._reader = None
            await self._give_back()

    def abandon(self) -> None:
        """Forget the reader, whose event loop is closed: nobody can end it, so its end is not worth a warning."""
        if self._reader is not None:
            self._reader._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio has no public way

    async def _update_shielded(self, name: str) -> None:
        """Subscribe or unsubscribe. A waiter that is cancelled must not break a command on the shared connection."""
        with suppress(*LOST):  # the waiter polls at intervals anyway
            await asyncio.shield(self._update_subscription(name))

    async def _update_subscription(self, name: str) -> None:
        """Subscribe to a channel if it has waiters; otherwise unsubscribe.

        Locked, because redis-py's PubSub opens a connection for each concurrent first caller and keeps only the last.
        """
        async with self._lock:
            if self._closed or (self._pubsub is None and name not in self._channels):
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
                await self._reconnect_if_lost(pubsub)
                message: dict[str, Any] | None = await pubsub.get_message(timeout=SILENCE_S)
                if message is None and await self._gave_back_unused():
                    return
            except LOST:
                await asyncio.sleep(RECONNECT_S)
                self._wake_all()
                continue
            # The reply to a handshake may arrive as a message without a channel.
            name = None if message is None else message["channel"]
            channel = self._channels.get(name.decode()) if isinstance(name, bytes) else None
            if message is None or channel is None:
                continue
            if message["type"] == "subscribe":
                channel.confirmed.set()
            channel.wake()  # by a confirmation too: earlier notifications were not received

    async def _gave_back_unused(self) -> bool:
        """Give the connection back if nobody waits; return whether it was."""
        async with self._lock:
            if self._channels:
                return False
            await self._give_back()
            self._reader = None
            return True

    async def _give_back(self) -> None:
        if self._pubsub is not None:
            await self._pubsub.aclose()  # type: ignore[no-untyped-call]
            self._pubsub = None

    async def _reconnect_if_lost(self, pubsub: PubSub) -> None:
        """Renew a lost connection, with its subscriptions. Locked, because a command would reconnect too.

        A node that has left its cluster, or hangs, keeps the connection and announces nothing.
        """
        async with self._lock:
            connection = pubsub.connection
            if connection is None:
                return
            if not getattr(connection, "is_current", True):  # redis-py's own connections do not have it
                await connection.disconnect(nowait=True)
            if not connection.is_connected:
                await connection.connect()

    def _wake_all(self) -> None:
        """Make every waiter poll: notifications may have been lost with the connection."""
        for channel in self._channels.values():
            channel.confirmed.set()
            channel.wake()
