"""News of batches: one blocking read of each shard tells all event streams of this process which batches have news."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from producers import Producer
from producers.client.shard import Shard
from producers.errors import ProducerError
from producers.queue.cursors import parse_cursor
from producers.transport.commands import XREAD
from producers.transport.runner import run_plan

BLOCK_MS = 100
"""How long one read waits: so long a batch that was just added goes unheard. A batch with news is heard at once."""

MOST_ENTRIES = 100
"""Entries of one batch that one read returns."""

RETRY_S = 0.5
PAUSE_S = 0.02
"""Pause after a read with news, so that news that come together are read together."""


class Feed:
    """The batches that event streams of this process follow, and their news."""

    def __init__(self) -> None:
        self._followers: Counter[str] = Counter()
        self._positions: dict[str, list[str]] = {}  # in each shard
        self._news: dict[str, asyncio.Event] = {}
        self._readers: dict[int, asyncio.Task[None]] = {}

    @contextmanager
    def following(self, producer: Producer, batch_id: str, after: str) -> Iterator[None]:
        """Follow a batch while the context lasts: hear of results after a cursor, to which the follower has read.

        Another follower may have heard of some of them already, so look for results once more after entering.
        """
        self._followers[batch_id] += 1
        shards = producer._shards  # noqa: SLF001 - the gateway is the producer's side
        self._positions.setdefault(batch_id, parse_cursor(batch_id, after, len(shards)))
        self._news.setdefault(batch_id, asyncio.Event())
        for shard in shards:
            reader = self._readers.get(shard.number)
            if reader is None or reader.done():
                self._readers[shard.number] = asyncio.create_task(self._read(shard), name="copytrade event feed")
        try:
            yield
        finally:
            self._followers[batch_id] -= 1
            if not self._followers[batch_id]:
                del self._followers[batch_id], self._positions[batch_id], self._news[batch_id]

    def news(self, batch_id: str) -> asyncio.Event:
        """Return the event of the next news of a batch that is followed. Ask for it before looking for results."""
        return self._news[batch_id]

    async def wait(self, news: asyncio.Event, timeout_s: float) -> bool:
        """Wait for news; return False if there were none for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await news.wait()
        return False

    async def close(self) -> None:
        """Stop reading."""
        readers, self._readers = self._readers, {}
        for reader in readers.values():
            reader.cancel()
        await asyncio.gather(*readers.values(), return_exceptions=True)

    async def _read(self, shard: Shard) -> None:
        """Read while anything is followed. Followers of one batch may be at different places: all look after news."""
        keys = shard.keys
        while self._positions:
            batches = list(self._positions)
            names = [keys.batch_results + batch_id for batch_id in batches]
            places = [self._positions[batch_id][shard.number] for batch_id in batches]
            read = XREAD("COUNT", MOST_ENTRIES, "BLOCK", BLOCK_MS, "STREAMS", *names, *places)
            try:
                found: list[Any] = await run_plan(shard.redis, read, "waiting for results")
            except ProducerError:  # Redis is away, or another one
                await asyncio.sleep(RETRY_S)
                continue
            for name, entries in found or ():
                batch_id = name.decode().removeprefix(keys.batch_results)
                self._tell(batch_id, shard.number, entries[-1][0].decode())
            if found:
                await asyncio.sleep(PAUSE_S)

    def _tell(self, batch_id: str, shard: int, position: str) -> None:
        if batch_id in self._positions:
            self._positions[batch_id][shard] = position
            news, self._news[batch_id] = self._news[batch_id], asyncio.Event()
            news.set()
