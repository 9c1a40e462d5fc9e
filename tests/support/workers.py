"""A LaneWorker in this process, on a given Redis, against a double in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.cron import CronJob
from arq.typing import WorkerCoroutine
from arq.worker import Function

from ops.exchange import ExchangeDouble, Fault, load
from ops.stack import User, write_credentials
from producers import JobResult, Producer, SettingsChange
from producers.contract.codec import decode_result
from producers.transport.clients import keyspace_of
from worker.process.lane_worker import LaneWorker
from worker.settings import WorkerSettings

WITHIN_S = 30.0
"""How long anything here may take: far longer than it does, and no assertion."""

ARQ_CLOSES_OLD_STYLE = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")
"""arq 0.28 closes its client by a name that redis-py has deprecated. For every module that runs a worker."""

USERS = ("1001", "1002", "1003")


class Rig:
    """A queue, a worker's settings, and a double that knows three users.

    Attributes:
        redis: the test's own client.
        producer: enqueues to it.
        double: the exchange.
        credentials: what the worker knows of its users.
    """

    def __init__(self, redis: ArqRedis, double: ExchangeDouble, credentials: str) -> None:
        self.redis = redis
        self.producer = Producer(redis)
        self.double = double
        self.credentials = credentials

    def settings(self, **changed: Any) -> WorkerSettings:
        """Return default settings for this rig, with some changed."""
        values: dict[str, Any] = {
            "exchange_url": changed.get("exchange_url") or self.double.url,
            "credentials": self.credentials,
            "pace_margin_percent": 0.0,
        }
        return WorkerSettings(**values | changed)

    def client(self) -> ArqRedis:
        """Return a client for a worker, which closes it, on the same server as the test's."""
        return type(self.redis)(connection_pool=_same_server(self.redis))

    def worker(
        self,
        *,
        burst: bool = True,
        functions: Sequence[Function | WorkerCoroutine] = (),
        cron_jobs: Sequence[CronJob] = (),
        **changed: Any,
    ) -> LaneWorker:
        """Return a worker that is not running yet."""
        return LaneWorker(
            self.settings(**changed),
            burst=burst,
            handle_signals=False,
            functions=functions,
            cron_jobs=cron_jobs,
            redis=self.client(),
        )

    async def drain(self, **changed: Any) -> LaneWorker:
        """Run a worker until nothing is queued."""
        worker = self.worker(**changed)
        try:
            async with asyncio.timeout(WITHIN_S):
                await worker.async_run()
        finally:
            await worker.close()
        return worker

    @asynccontextmanager
    async def working(self, **changed: Any) -> AsyncIterator[LaneWorker]:
        """Run a worker meanwhile; it must still run at the end."""
        worker = self.worker(burst=False, **changed)
        running = asyncio.create_task(worker.async_run())
        try:
            async with asyncio.timeout(WITHIN_S):
                yield worker
            assert not running.done(), "the worker ended"
        finally:
            await worker.close()
            await asyncio.gather(running, return_exceptions=True)

    async def outcome(self, changes: Iterable[SettingsChange], **changed: Any) -> list[JobResult]:
        """Enqueue changes, drain them, and return their results in order."""
        report = await self.producer.enqueue_many(changes)
        await self.drain(**changed)
        return [await job.result(timeout=0) for job in report.jobs]

    async def result(self, job_id: str) -> JobResult | None:
        """Return the stored result of a change."""
        stored = await self.redis.get(keyspace_of(self.redis).result + job_id)
        return None if stored is None else decode_result(stored)

    def values_seen(self, user: str = "1001") -> list[str]:
        """Return the trace values of a user's requests, in the order of arrival."""
        return [arrival.values[0] for arrival in self.double.ledger.arrivals if arrival.user == user and arrival.values]


def _same_server(redis: ArqRedis) -> Any:
    pool: Any = redis.connection_pool
    nodes = getattr(pool, "_args", ())  # of a cluster
    made = type(pool)(*nodes, connection_class=pool.connection_class, **pool.connection_kwargs)
    made.keyspace = keyspace_of(redis)
    return made


@asynccontextmanager
async def rig_on(
    redis: ArqRedis,
    folder: Path,
    *,
    faults: Iterable[Fault] = (),
    wrong: dict[str, dict[str, str]] | None = None,
    unknown: Iterable[str] = (),
) -> AsyncIterator[Rig]:
    """Run a rig whose double knows all users; the worker lacks those `unknown`, and has `wrong` fields for some."""
    known = write_credentials(folder / "known.toml", [User(user) for user in USERS])
    held = [User(user) for user in USERS if user not in set(unknown)]
    credentials = write_credentials(folder / "held.toml", held, wrong=wrong)
    async with ExchangeDouble(load(Path(known.removeprefix("file:"))), faults=faults) as double:
        rig = Rig(redis, double, credentials)
        yield rig
        await rig.producer.close()
