"""The processes of a run: Valkey, the exchange double, workers and producers. All are stopped at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ops.chaos.cluster import ClusterServer
from ops.chaos.interference import Interference
from ops.chaos.key_stores import KeyFile, KeyStore, SealedKeys
from ops.chaos.processes import ManagedProcess, environment_with
from ops.chaos.schedule import PRODUCERS, REQUEST_TIMEOUT_S, SESSION_TTL_S, WORKERS
from ops.chaos.server import Server
from ops.chaos.user_keys import UserKeys, replace_file, toml
from ops.chaos.valkey import ValkeyServer
from ops.chaos.workload import USERS
from ops.stack import Stack
from producers import Producer, ProducerSettings, QueueUnavailable
from producers.contract.keyspace import Keyspace
from producers.transport.clients import keyspace_of
from producers.transport.shards import Shards, open_shards

USER_RATE_PER_S = 10
EGRESS_RATE_PER_S = 220
EGRESSES = ("default", "second")
SHARES = {"default": 140, "second": 80}
"""Requests a second of each of two egresses, which have one address at the exchange."""
EGRESS_HOLD_S = 2
LATENCY_MS, JITTER_MS = 25.0, 15.0
"""Of every reply, so that some requests are in flight whenever a process dies."""
SEALED_FROM = 2
"""On a single server the keys are sealed in Redis for seeds with a remainder of at least 2 modulo 4, else in a file."""
RETRY_TIMEOUT_S = 30.0
RETRY_AFTER_S = 0.1

T = TypeVar("T")

WORKER_ENVIRONMENT = {
    "COPYTRADE_USER_RATE_PER_S": f"{USER_RATE_PER_S}",
    "COPYTRADE_EGRESS_HOLD_S": f"{EGRESS_HOLD_S}",
    "COPYTRADE_SESSION_TTL_S": f"{SESSION_TTL_S}",
    "COPYTRADE_REQUEST_TIMEOUT_S": f"{REQUEST_TIMEOUT_S}",
    "COPYTRADE_CONNECT_TIMEOUT_S": "1",
    "COPYTRADE_REDIS_TIMEOUT_S": "1.5",
    "COPYTRADE_STOP_TIMEOUT_S": "3",
    "COPYTRADE_HEALTH_INTERVAL_S": "2",
}
"""Short times, so that many of them fit into a minute."""


@dataclass(slots=True)
class Environment:
    """Everything that runs.

    Attributes:
        folder: an empty folder for all files.
        seconds: for how long producers request changes.
        in_cluster: whether the server is a cluster.
        shards: of the queue.
        user_keys: all users' keys.
        key_store: where the workers find them.
        password: the password of Redis.
        stack: the exchange double.
        clients: clients of the queue for the run itself.
        producer: a producer for the run itself.
        http: a client for the double's controls.
        start_ns: when the processes started, on the machine's monotonic clock.
    """

    folder: Path
    seed: int
    seconds: float
    in_cluster: bool = False
    shards: int = 1
    user_keys: UserKeys = field(init=False)
    key_store: KeyStore = field(init=False)
    password: str = field(init=False)
    server: Server = field(init=False)
    stack: Stack = field(init=False)
    workers: list[ManagedProcess] = field(default_factory=list)
    producers: list[ManagedProcess] = field(default_factory=list)
    interference: Interference = field(init=False)
    clients: Shards[Redis] = field(init=False)
    producer: Producer = field(init=False)
    http: aiohttp.ClientSession = field(init=False)
    start_ns: int = 0

    @property
    def unpickle_marker(self) -> Path:
        """A file that appears if a process unpickles a payload."""
        return self.folder / "unpickled"

    @property
    def logs(self) -> list[Path]:
        """The logs of all processes."""
        return [*sorted((self.folder / "logs").glob("*.log")), *self.server.logs]

    @property
    def journals(self) -> list[Path]:
        """The journals of the producers, by their number."""
        return [self.folder / f"producer-{number}.journal" for number in range(PRODUCERS)]

    @property
    def redis(self) -> Redis:
        """The client of the queue's home: without shards, of all of it."""
        return self.clients.home

    @property
    def keys(self) -> Keyspace:
        """The names of the queue's keys."""
        return keyspace_of(self.redis)

    def secrets(self) -> list[str]:
        """Return every secret; none of them may appear in a file."""
        return [*self.user_keys.every_secret(), self.password, *self.key_store.secrets]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run everything while the body runs, and stop all of it at the end."""
        (self.folder / "logs").mkdir()
        self.user_keys = UserKeys.for_users(USERS, self.seed)
        self.password = self.user_keys.password()
        make_server = ClusterServer if self.in_cluster else ValkeyServer
        self.server = make_server(self.folder / "valkey", self.password)
        exchange_keys = self.folder / "exchange.toml"
        replace_file(exchange_keys, toml(self.user_keys.current))
        async with AsyncExitStack() as resources:
            resources.push_async_callback(self.server.stop)
            await self.server.start()
            self.stack = Stack(self.server.dsn, "", f"file:{exchange_keys}", self._double_options())
            await resources.enter_async_context(self.stack)
            self.http = await resources.enter_async_context(aiohttp.ClientSession(self.stack.exchange_url))
            producer = Producer.connect(self.server.dsn, ProducerSettings(shards=self.shards))
            self.producer = await resources.enter_async_context(producer)
            self.clients = open_shards(self.server.dsn, Redis, shards=self.shards, keyspace=None, timeout_s=5)
            for client in self.clients.all():
                resources.push_async_callback(client.aclose)
            self.interference = Interference(self.clients, self.unpickle_marker)
            # Where a takeover may lose keys that were written, workers would go on with earlier ones.
            sealed = self.seed % 4 >= SEALED_FROM and not self.in_cluster
            self.key_store = SealedKeys(self.folder, self.redis) if sealed else KeyFile(self.folder)
            await self.key_store.write(self.user_keys.current)
            self.start_ns = time.monotonic_ns()
            self.workers = [self._worker(number) for number in range(WORKERS)]
            self.producers = [self._producer_process(number) for number in range(PRODUCERS)]
            resources.push_async_callback(self._stop_processes)
            for process in (*self.workers, *self.producers):
                await process.start()
            yield

    async def retry(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call until it is answered; the run's own calls meet the faults too.

        Raises:
            TimeoutError: no answer within 30 s.
        """
        async with asyncio.timeout(RETRY_TIMEOUT_S):
            while True:
                with suppress(RedisError, OSError, aiohttp.ClientError, QueueUnavailable):
                    return await call()
                await asyncio.sleep(RETRY_AFTER_S)

    async def control_exchange(self, control: str, **body: Any) -> None:
        """Post to one of the double's controls."""

        async def post() -> None:
            async with self.http.post(f"/_double/{control}", **body) as response:
                response.raise_for_status()

        await self.retry(post)

    def elapsed_s(self) -> float:
        """Return the seconds since the start."""
        return (time.monotonic_ns() - self.start_ns) / 1e9

    def _double_options(self) -> tuple[str, ...]:
        limits = ("--egress-per-min", f"{EGRESS_RATE_PER_S * 60}", "--egress-recovery-s", f"{EGRESS_HOLD_S}")
        return (*limits, "--latency-ms", f"{LATENCY_MS}", "--jitter-ms", f"{JITTER_MS}", "--seed", f"{self.seed}")

    def _worker(self, number: int) -> ManagedProcess:
        # Odd seeds have two egresses. A worker must not use the round-trip times of the other one.
        is_single = self.seed % 2 == 0
        egress = EGRESSES[0] if is_single or number < WORKERS - 1 else EGRESSES[1]
        environ = environment_with(
            **WORKER_ENVIRONMENT,
            **self.key_store.variables,
            COPYTRADE_REDIS_DSN=self.server.dsn,
            COPYTRADE_SHARDS=f"{self.shards}",
            COPYTRADE_EXCHANGE_URL=self.stack.exchange_url,
            COPYTRADE_EGRESS=egress,
            COPYTRADE_EGRESS_RATE_PER_S=f"{EGRESS_RATE_PER_S if is_single else SHARES[egress]}",
            COPYTRADE_LOG_FORMAT="json",
            COPYTRADE_LOG_LEVEL="DEBUG" if number == 0 else "INFO",
        )
        return ManagedProcess(
            f"worker {number}", ("-m", "worker"), environ, self.folder / "logs" / f"worker-{number}.log"
        )

    def _producer_process(self, number: int) -> ManagedProcess:
        kind = "async" if number % 2 == 0 else "sync"
        options = (f"{number}", kind, f"{self.seed}", f"{self.seconds}", f"{self.start_ns}", f"{self.journals[number]}")
        environ = environment_with(
            COPYTRADE_REDIS_DSN=self.server.dsn, COPYTRADE_SHARDS=f"{self.shards}", COPYTRADE_REDIS_TIMEOUT_S="2"
        )
        log = self.folder / "logs" / f"producer-{number}.log"
        return ManagedProcess(
            f"producer {number}", ("-m", "ops.chaos.producer_process", *options), environ, log, may_end=True
        )

    async def _stop_processes(self) -> None:
        await asyncio.gather(*(process.stop() for process in (*self.workers, *self.producers)))
