"""The set-up of a benchmark: an embedded Valkey, the exchange double, workers, and changes to send."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from ops.bench.measurement import NS_PER_MS
from ops.children import temporary_folder
from ops.redis_server import embedded_valkey
from ops.stack import Stack, User, write_credentials
from producers import CopySetting, Producer, ProducerSettings, SettingsChange
from producers.transport.clients import keyspace_of
from producers.transport.shards import open_shards

NO_RATE_LIMITS = {"COPYTRADE_USER_RATE_PER_S": "1000000", "COPYTRADE_EGRESS_RATE_PER_S": "1000000"}
DOUBLE_NO_RATE_LIMITS = ("--user-rate-per-s", "100000", "--egress-per-min", "100000000")
TIMEOUT_S = 120.0
READY_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.01


@dataclass(frozen=True, slots=True)
class Environment:
    """The running parts of a benchmark.

    Attributes:
        stack: the double and the workers.
        producer: of the queue.
        redis: the client of the queue, or of its home.
        shards: the clients of its shards.
    """

    stack: Stack
    producer: Producer
    redis: Redis
    shards: tuple[Redis, ...]

    async def arrivals_ns(self, user: str) -> list[int]:
        """Return the arrival times of a user's requests, monotonic clock."""
        return [arrival["at_ns"] for arrival in await self.stack.arrivals() if arrival["user"] == user]

    async def send_one(self, user: str) -> float:
        """Enqueue the only change of a user, wait for its result, and return ms from the call to its arrival."""
        called_ns = time.monotonic_ns()
        job = await self.producer.enqueue(change(user))
        await job.result(timeout=TIMEOUT_S)
        (arrived_ns,) = await self.arrivals_ns(user)
        return (arrived_ns - called_ns) / NS_PER_MS

    async def count_finished(self) -> int:
        """Return how many changes have ended."""
        finished = 0
        for shard in self.shards:
            counts = await cast("Awaitable[list[bytes]]", shard.hvals(keyspace_of(shard).counts))
            finished += sum(map(int, counts))
        return finished

    async def wait_until_finished(self, count: int, poll_interval_s: float = POLL_INTERVAL_S) -> None:
        """Return when `count` changes have ended.

        Args:
            count: of all changes since the start.
            poll_interval_s: pause between two looks; each costs Redis one command.

        Raises:
            TimeoutError: not within `TIMEOUT_S`.
        """
        async with asyncio.timeout(TIMEOUT_S):
            while await self.count_finished() < count:  # noqa: ASYNC110 - polls another process
                await asyncio.sleep(poll_interval_s)


@asynccontextmanager
async def environment(
    users: Sequence[str],
    *,
    workers: int,
    double_options: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
    redis_dsn: str | None = None,
    shards: int = 1,
    keyspace: str | None = None,
) -> AsyncIterator[Environment]:
    """Run an environment; its workers are ready when it is entered.

    Args:
        users: the users with credentials.
        workers: number of worker processes.
        double_options: options of `python -m ops.exchange`.
        environ: variables of the workers.
        redis_dsn: of servers that run; by default a server of its own, without persistence.
        shards: of the queue.
        keyspace: its name.
    """
    with temporary_folder("bench-") as folder, ExitStack() as server:
        dsn = redis_dsn or server.enter_context(embedded_valkey())
        credentials = write_credentials(folder / "credentials.toml", [User(user) for user in users])
        of_queue = {"COPYTRADE_SHARDS": str(shards)} | ({"COPYTRADE_KEYSPACE": keyspace} if keyspace else {})
        variables = {"COPYTRADE_LOG_LEVEL": "ERROR", **of_queue, **(environ or {})}
        stack = Stack(dsn, credentials, credentials, double_options, variables)
        clients = open_shards(dsn, Redis, shards=shards, keyspace=keyspace, timeout_s=TIMEOUT_S)
        settings = ProducerSettings(shards=shards, keyspace=keyspace)
        async with stack, Producer.connect(dsn, settings) as producer, AsyncExitStack() as opened:
            for client in clients.all():
                opened.push_async_callback(client.aclose)
            await stack.start_workers(workers)
            async with asyncio.timeout(READY_TIMEOUT_S):
                # A worker that is ready has fetched the double's time.
                while (await stack.report())["arrivals"] < workers:  # noqa: ASYNC110 - polls another process
                    await asyncio.sleep(POLL_INTERVAL_S)
            await stack.reset()
            yield Environment(stack, producer, clients.home, clients.clients)


def change(user: str, value: int = 1, trader: str = "123123123") -> SettingsChange:
    """Return a change as in the endpoint's example; `value` becomes its traceValue, by which it is recognised."""
    return SettingsChange(
        user_id=user,
        trader_id=trader,
        settings=[
            CopySetting(
                symbol="BTCUSDT",
                product_type="USDT-FUTURES",
                margin_type="trader",
                margin_coin="USDT",
                lever_type="trader",
                trace_type="amount",
                trace_value=str(value),
                max_hold_size="5000",
            )
        ],
    )
