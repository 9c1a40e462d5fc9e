"""Carries a schedule out, ends all trouble, and waits for the queue to drain."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
from redis.exceptions import RedisError

from ops.chaos.environment import Environment
from ops.chaos.faults import Faults
from ops.chaos.schedule import PRODUCERS, Event, schedule
from ops.chaos.workload import Item, lanes_of, last_word
from producers import QueueUnavailable
from producers.contract import keyspace

POLL_INTERVAL_S = 0.1
DRAINED_WITHIN_S = 180.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LastWord:
    """A change that was asked for after all trouble.

    Attributes:
        job_id: its ID.
        item: what it is.
        asked_ns: when it was asked for, the machine's monotonic clock.
    """

    job_id: str
    item: Item
    asked_ns: int


@dataclass(slots=True)
class Run:
    """Drives a run through its trouble to its end.

    Attributes:
        world: what it is made for.
        trouble: who makes it.
        say: told what happens, for people.
        happened: events that were carried out, by kind.
        failed: what could not be done, and why.
        last_words: the changes asked for at the end.
        drained_s: how long the end took; None if it never came.
    """

    world: Environment
    trouble: Faults
    say: Say
    happened: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    last_words: list[LastWord] = field(default_factory=list)
    drained_s: float | None = None

    async def make_trouble(self) -> None:
        """All events, each at its time; returns when the last one is over."""
        async with asyncio.TaskGroup() as tasks:
            for event in schedule(self.world.seed, self.world.seconds):
                tasks.create_task(self._meet(event))

    async def _meet(self, event: Event) -> None:
        await asyncio.sleep(event.at_s - self.world.now_s())
        self.say(f"{self.world.now_s():6.1f} s  {event.kind}")
        try:
            await self.trouble.carry_out(event)
        except (RedisError, OSError, aiohttp.ClientError, QueueUnavailable) as exc:
            self.failed.append(f"{event.kind} at {event.at_s} s: {type(exc).__name__}: {exc}")
        else:
            self.happened[event.kind] += 1

    async def settle_down(self) -> None:
        """All trouble ends; then everything must drain, and every lane must take one more change."""
        await self.trouble.end()
        began_s = self.world.now_s()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAINED_WITHIN_S):
                for producer in self.world.producers:
                    await producer.ended()
                await self._until_drained()
                await self._ask_last_words()
                await self._until_drained()
                self.drained_s = self.world.now_s() - began_s

    async def _until_drained(self) -> None:
        world = self.world
        while await world.insist(lambda: world.redis.zcard(keyspace.LANES)):  # noqa: ASYNC110 - looks at another process
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _ask_last_words(self) -> None:
        world = self.world
        lanes = lanes_of(world.seed, PRODUCERS, world.seconds)
        for number, (user, trader) in enumerate(lanes):
            self.last_words.append(LastWord(f"last-{number}", last_word(user, trader, number), time.monotonic_ns()))
        ids = iter([word.job_id for word in self.last_words])
        changes = [word.item.change for word in self.last_words]
        report = await world.producer.enqueue_many(changes, job_id=lambda _: next(ids))
        if len(report.jobs) != len(lanes):
            self.failed.append(f"of {len(lanes)} last changes {len(report.jobs)} were accepted")
