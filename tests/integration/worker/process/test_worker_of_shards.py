"""One worker process over the shards of a queue: what they share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.cron import cron

from ops.exchange import ExchangeDouble, Fault, load
from ops.keys import KEYS
from ops.redis_server import free_port
from ops.stack import User, write_credentials
from producers import Job, Producer, ProducerSettings, SettingsError
from producers.contract.shards import shard_of
from producers.transport.dsn import open_redis
from producers.transport.shards import Shards
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, WITHIN_S
from worker.process import lane_worker
from worker.process.clients import open_clients
from worker.process.lane_worker import LaneWorker
from worker.queue import egress_shares
from worker.settings import WorkerSettings

pytestmark = ARQ_CLOSES_OLD_STYLE

SHARDS = 3
USERS = [str(number) for number in range(1001, 1061)]
OF_SHARD = [[user for user in USERS if shard_of(user, SHARDS) == shard] for shard in range(SHARDS)]


class Rig:
    """A queue with three shards, a double, and what a worker needs for both."""

    def __init__(self, dsn: str, double: ExchangeDouble, producer: Producer, credentials: str) -> None:
        self.double = double
        self.producer = producer
        self._dsn = dsn
        self._credentials = credentials

    async def enqueue(self, users: list[str]) -> list[Job]:
        """Enqueue a change of each user."""
        return (await self.producer.enqueue_many([change(user) for user in users])).jobs

    def worker(self, **options: Any) -> LaneWorker:
        """Return a worker that does not run yet."""
        settings = WorkerSettings(
            redis_dsn=self._dsn,
            shards=options.pop("shards", SHARDS),
            exchange_url=self.double.url,
            credentials=self._credentials,
            max_jobs=options.pop("max_jobs", 256),
        )
        return LaneWorker(settings, handle_signals=False, **options)

    @asynccontextmanager
    async def working(self, **options: Any) -> AsyncIterator[LaneWorker]:
        """Run a worker meanwhile, from when it is ready."""
        worker, ready = self.worker(**options), asyncio.Event()
        worker.on_ready = ready.set
        running = asyncio.create_task(worker.async_run())
        try:
            async with asyncio.timeout(2 * WITHIN_S):
                await ready.wait()
                yield worker
            assert not running.done(), "the worker ended"
        finally:
            await worker.close()
            await asyncio.gather(running, return_exceptions=True)

    def arrived(self, users: list[str]) -> int:
        """Return how many requests of some users the double has seen."""
        return sum(arrival.user in users for arrival in self.double.ledger.arrivals)

    async def until_arrived(self, users: list[str], count: int) -> None:
        """Wait until the double has seen as many requests of some users."""
        while self.arrived(users) < count:  # noqa: ASYNC110 - only the double knows
            await asyncio.sleep(0.01)


@pytest.fixture
async def rig(valkey_dsn: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """A queue with three shards, and a double that knows sixty users."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    async with (
        ExchangeDouble(load(Path(credentials.removeprefix("file:")))) as double,
        Producer.connect(valkey_dsn, ProducerSettings(shards=SHARDS)) as producer,
    ):
        yield Rig(valkey_dsn, double, producer, credentials)


async def test_an_egress_whose_breaker_opens_in_one_shard_sends_nothing_in_the_others(rig: Rig) -> None:
    """But for the probes of that shard. When they succeed, everything goes on."""
    rig.double.faults.replace([Fault("http_502", user=user) for user in OF_SHARD[0]])
    async with rig.working() as worker:
        failing = await rig.enqueue(OF_SHARD[0])
        assert worker._dispatching is not None
        block = worker._dispatching.shards[0].dispatcher._block
        while not block.stops(1):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        waiting = await rig.enqueue(OF_SHARD[1][:3])
        before = rig.arrived(OF_SHARD[0])
        await rig.until_arrived(OF_SHARD[0], before + 2)  # two probes, each after a pause
        sent = rig.arrived(OF_SHARD[1])
        rig.double.faults.replace([])
        results = await asyncio.gather(*(job.result() for job in failing + waiting))

    assert sent == 0
    assert all(result.applied for result in results)


async def test_a_breaker_without_anybody_to_probe_stops_no_other_shard(rig: Rig) -> None:
    """Its users' changes were cancelled: nobody would ever close it."""
    rig.double.faults.replace([Fault("http_502", user=user) for user in OF_SHARD[0]])
    async with rig.working() as worker:
        await rig.enqueue(OF_SHARD[0])
        assert worker._dispatching is not None
        block = worker._dispatching.shards[0].dispatcher._block
        while not block.stops(1):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        for user in OF_SHARD[0]:
            await rig.producer.cancel_user(user)
        (job,) = await rig.enqueue(OF_SHARD[1][:1])

        assert (await job.result()).applied


async def test_all_shards_together_have_no_more_in_hand_than_one_would(rig: Rig) -> None:
    """They claim in turn, and each drains its own."""
    rig.double.faults.replace([Fault("latency", ms=30)])
    jobs = await rig.enqueue(USERS)
    async with rig.working(max_jobs=2):
        results = await asyncio.gather(*(job.result() for job in jobs))
    spans = [(arrival.at_ns, arrival.answered_ns) for arrival in rig.double.ledger.arrivals if arrival.user]
    at_once = max(sum(begun <= at_ns < ended for begun, ended in spans) for at_ns, _ in spans)

    assert all(result.applied for result in results)
    assert at_once <= 2


async def test_a_worker_of_shards_runs_cron_jobs_with_a_producer_and_no_queue_of_arqs(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """The producer enqueues into every shard."""
    done: asyncio.Future[list[Job]] = asyncio.get_running_loop().create_future()

    async def nightly(ctx: dict[str, Any]) -> None:
        report = await ctx["producer"].enqueue_many([change(users[0]) for users in OF_SHARD])
        done.set_result(report.jobs)

    caplog.set_level("INFO")
    async with rig.working(cron_jobs=[cron(nightly, run_at_startup=True)]):
        results = await asyncio.gather(*(job.result() for job in await done))

    assert all(result.applied for result in results)
    assert "is not served, because this queue has 3 shards" in caplog.text


async def test_an_operator_sees_a_worker_of_shards_once(rig: Rig) -> None:
    """It is announced in each of them."""
    async with rig.working() as worker:
        while not (workers := (await rig.producer.overview()).workers):  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.01)
        await worker._presence.announce()
        workers = (await rig.producer.overview()).workers

    assert [found.name for found in workers] == [worker._presence.name]
    assert (await rig.producer.overview()).workers == []


@pytest.mark.parametrize("told", [2, 1])
async def test_a_worker_with_another_number_of_shards_ends_before_it_writes_or_sends(
    rig: Rig, valkey: ArqRedis, told: int
) -> None:
    """The message names the setting to correct. The health key of the live workers stays."""
    await rig.enqueue(USERS[:1])
    await valkey.set(KEYS.queue + ":health-check", "of another worker")
    before = await contents(valkey)
    worker = rig.worker(shards=told)

    with pytest.raises(SettingsError, match=rf"^the queue began with COPYTRADE_SHARDS=3, and this program has {told}"):
        await worker.main()
    await worker.close()

    assert await contents(valkey) == before
    assert list(rig.double.ledger.arrivals) == []


async def test_a_worker_starts_while_the_home_is_away(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shards say their number. It sends by small shares until the home is there."""
    jobs = await rig.enqueue([users[0] for users in OF_SHARD])
    nobody = open_redis(f"redis://127.0.0.1:{free_port()}", ArqRedis, timeout_s=5)
    monkeypatch.setattr(lane_worker, "open_clients", lambda settings: Shards(nobody, open_clients(settings).clients))
    async with rig.working() as worker:
        results = await asyncio.gather(*(job.result() for job in jobs))
        problems = dict(worker._availability.problems)

    assert all(result.applied for result in results)
    assert egress_shares.PART in problems


async def contents(valkey: ArqRedis) -> dict[bytes, bytes]:
    """Return what every key has."""
    return {key: await valkey.dump(key) for key in await valkey.keys("*")}
