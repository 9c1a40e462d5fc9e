"""All that a run needs, as real processes: started here, and stopped here whatever happens."""

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

from ops.chaos.interference import Interference
from ops.chaos.key_stores import KeyFile, KeyStore, SealedKeys
from ops.chaos.processes import ManagedProcess, environment
from ops.chaos.schedule import LEASE_S, PRODUCERS, REQUEST_TIMEOUT_S, WORKERS
from ops.chaos.user_keys import UserKeys, replace_file, toml
from ops.chaos.valkey import ValkeyServer
from ops.chaos.workload import USERS
from ops.stack import Stack
from producers import Producer, QueueUnavailable

USER_RATE_PER_S = 10
EGRESS_RATE_PER_S = 220
EGRESSES = ("default", "second")
SHARES = {"default": 140, "second": 80}
"""Of the requests a second, where there are two egresses: the exchange sees one address."""
EGRESS_HOLD_S = 2
LATENCY_MS, JITTER_MS = 25.0, 15.0
"""Of every reply, from start to end: so some requests are under way whenever something dies."""
SEALED_FROM = 2
"""Half of the seeds have the keys sealed in Redis: those that leave at least this when divided by 4."""
INSIST_S = 30.0
RETRY_AFTER_S = 0.1

T = TypeVar("T")

WORKER_ENVIRONMENT = {
    "COPYTRADE_USER_RATE_PER_S": f"{USER_RATE_PER_S}",
    "COPYTRADE_EGRESS_HOLD_S": f"{EGRESS_HOLD_S}",
    "COPYTRADE_LEASE_S": f"{LEASE_S}",
    "COPYTRADE_REQUEST_TIMEOUT_S": f"{REQUEST_TIMEOUT_S}",
    "COPYTRADE_CONNECT_TIMEOUT_S": "1",
    "COPYTRADE_REDIS_TIMEOUT_S": "1.5",
    "COPYTRADE_STOP_TIMEOUT_S": "3",
    "COPYTRADE_HEALTH_INTERVAL_S": "2",
}
"""Short times, so that a minute holds many of them."""


@dataclass(slots=True)
class Environment:
    """What trouble is made for.

    Attributes:
        folder: an empty one, for all files.
        seed: of all chance.
        seconds: how long producers ask.
        ring: everybody's keys.
        key_store: where workers find them.
        password: Redis's.
        server: Redis.
        stack: the exchange double.
        workers: their places.
        producers: theirs.
        foe: who writes to Redis what nobody should.
        redis: the driver's own client.
        producer: the driver's own producer.
        http: the way to the double's controls.
        start_ns: when it began, the machine's monotonic clock.
    """

    folder: Path
    seed: int
    seconds: float
    ring: UserKeys = field(init=False)
    key_store: KeyStore = field(init=False)
    password: str = field(init=False)
    server: ValkeyServer = field(init=False)
    stack: Stack = field(init=False)
    workers: list[ManagedProcess] = field(default_factory=list)
    producers: list[ManagedProcess] = field(default_factory=list)
    foe: Interference = field(init=False)
    redis: Redis = field(init=False)
    producer: Producer = field(init=False)
    http: aiohttp.ClientSession = field(init=False)
    start_ns: int = 0

    @property
    def trap(self) -> Path:
        """A file that appears if somebody unpickles."""
        return self.folder / "trap"

    @property
    def logs(self) -> list[Path]:
        """What all processes wrote."""
        return [*sorted((self.folder / "logs").glob("*.log")), self.server.log]

    @property
    def journals(self) -> list[Path]:
        """What producers were told, by their number."""
        return [self.folder / f"producer-{number}.journal" for number in range(PRODUCERS)]

    def secrets(self) -> list[str]:
        """All that must be seen nowhere."""
        return [*self.ring.all(), self.password, *self.key_store.secrets]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything runs within; all of it is stopped at the end."""
        (self.folder / "logs").mkdir()
        self.ring = UserKeys.of(USERS, self.seed)
        self.password = self.ring.password()
        self.server = ValkeyServer(self.folder / "valkey", self.password)
        exchange_keys = self.folder / "exchange.toml"
        replace_file(exchange_keys, toml(self.ring.current))
        async with AsyncExitStack() as resources:
            resources.push_async_callback(self.server.stop)
            await self.server.start()
            self.stack = Stack(self.server.dsn, "", f"file:{exchange_keys}", self._double_options())
            await resources.enter_async_context(self.stack)
            self.http = await resources.enter_async_context(aiohttp.ClientSession(self.stack.exchange_url))
            self.producer = await resources.enter_async_context(Producer.connect(self.server.dsn))
            self.redis = await resources.enter_async_context(Redis.from_url(self.server.dsn, socket_timeout=5))
            self.foe = Interference(self.redis, self.trap)
            sealed = self.seed % 4 >= SEALED_FROM
            self.key_store = SealedKeys(self.folder, self.redis) if sealed else KeyFile(self.folder)
            await self.key_store.write(self.ring.current)
            self.start_ns = time.monotonic_ns()
            self.workers = [self._worker(number) for number in range(WORKERS)]
            self.producers = [self._producer_of(number) for number in range(PRODUCERS)]
            resources.push_async_callback(self._stop_processes)
            for place in (*self.workers, *self.producers):
                await place.start()
            yield

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks until there is an answer: the driver's own calls meet the trouble that it makes.

        Raises:
            TimeoutError: there is none within half a minute.
        """
        async with asyncio.timeout(INSIST_S):
            while True:
                with suppress(RedisError, OSError, aiohttp.ClientError, QueueUnavailable):
                    return await ask()
                await asyncio.sleep(RETRY_AFTER_S)

    async def tell_exchange(self, control: str, **body: Any) -> None:
        """Posts to one of the double's controls."""

        async def post() -> None:
            async with self.http.post(f"/_double/{control}", **body) as response:
                response.raise_for_status()

        await self.insist(post)

    def now_s(self) -> float:
        """Since the start, seconds."""
        return (time.monotonic_ns() - self.start_ns) / 1e9

    def _double_options(self) -> tuple[str, ...]:
        limits = ("--egress-per-min", f"{EGRESS_RATE_PER_S * 60}", "--egress-recovery-s", f"{EGRESS_HOLD_S}")
        return (*limits, "--latency-ms", f"{LATENCY_MS}", "--jitter-ms", f"{JITTER_MS}", "--seed", f"{self.seed}")

    def _worker(self, number: int) -> ManagedProcess:
        # Every other run has two egresses: no worker may trust the round trips of the other's way then.
        alone = self.seed % 2 == 0
        egress = EGRESSES[0] if alone or number < WORKERS - 1 else EGRESSES[1]
        environ = environment(
            **WORKER_ENVIRONMENT,
            **self.key_store.variables,
            COPYTRADE_REDIS_DSN=self.server.dsn,
            COPYTRADE_EXCHANGE_URL=self.stack.exchange_url,
            COPYTRADE_EGRESS=egress,
            COPYTRADE_EGRESS_RATE_PER_S=f"{EGRESS_RATE_PER_S if alone else SHARES[egress]}",
            COPYTRADE_LOG_LEVEL="DEBUG" if number == 0 else "INFO",
        )
        return ManagedProcess(
            f"worker {number}", ("-m", "worker"), environ, self.folder / "logs" / f"worker-{number}.log"
        )

    def _producer_of(self, number: int) -> ManagedProcess:
        kind = "async" if number % 2 == 0 else "sync"
        options = (f"{number}", kind, f"{self.seed}", f"{self.seconds}", f"{self.start_ns}", f"{self.journals[number]}")
        environ = environment(COPYTRADE_REDIS_DSN=self.server.dsn, COPYTRADE_REDIS_TIMEOUT_S="2")
        log = self.folder / "logs" / f"producer-{number}.log"
        return ManagedProcess(
            f"producer {number}", ("-m", "ops.chaos.producer_process", *options), environ, log, ends=True
        )

    async def _stop_processes(self) -> None:
        await asyncio.gather(*(place.stop() for place in (*self.workers, *self.producers)))
