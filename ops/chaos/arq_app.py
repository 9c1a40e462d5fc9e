"""An app that has only arq, and enqueues `submit`: the change gets into its lane by a control job."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import msgspec
from arq import ArqRedis, create_pool
from arq.connections import RedisSettings
from arq.jobs import Job

from ops.chaos.environment import Environment
from ops.chaos.workload import ORDINARY_USERS, TRADERS, Item

FIRST_MARK = 80_000_000_000
ANSWERED_WITHIN_S = 20.0
POLL_INTERVAL_S = 0.1


@dataclass(slots=True)
class Asked:
    """A change that was asked for.

    Attributes:
        job_id: its ID.
        item: what it is.
        asked_ns: when it was asked for, the machine's monotonic clock.
        told_ns: when it was told accepted; None if it never was.
    """

    job_id: str
    item: Item
    asked_ns: int
    told_ns: int | None = None


@dataclass(slots=True)
class ArqApp:
    """Asks for changes with nothing but arq.

    Attributes:
        world: where Redis is.
        asked: what was asked for so far.
        unanswered: what got no answer: it may be accepted or not.
        surprises: answers that were not promised.
    """

    world: Environment
    asked: list[Asked] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)

    async def submit(self, who: int) -> None:
        """Asks for one change, and waits until it is told whether it is accepted."""
        number = len(self.asked)
        item = Item(ORDINARY_USERS[who % len(ORDINARY_USERS)], TRADERS[0], f"{FIRST_MARK + number}")
        name = f"arq-{number}"
        asked = Asked(f"{name}.change", item, time.monotonic_ns())
        self.asked.append(asked)
        try:
            answer = await self._ask(name, item)
        except Exception as exc:  # noqa: BLE001 - arq tells of all that may happen to a job by some exception
            self.unanswered.append(f"{name}: {type(exc).__name__}: {exc}")
            return
        if isinstance(answer, dict) and answer.get("jobId") == asked.job_id:
            asked.told_ns = time.monotonic_ns()
        else:
            self.surprises.append(f"an app with only arq was told {answer!r} of {name}")

    async def _ask(self, name: str, item: Item) -> object:
        redis = await self._pool()
        try:
            job = await redis.enqueue_job("submit", msgspec.to_builtins(item.change), _job_id=name)
            job = job or Job(name, redis, _deserializer=msgspec.msgpack.decode)
            return await job.result(timeout=ANSWERED_WITHIN_S, poll_delay=POLL_INTERVAL_S)
        finally:
            await redis.aclose()

    async def _pool(self) -> ArqRedis:
        return await create_pool(
            RedisSettings.from_dsn(self.world.server.dsn),
            job_serializer=msgspec.msgpack.encode,
            job_deserializer=msgspec.msgpack.decode,
        )
