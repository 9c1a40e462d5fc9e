"""What the programs of `ops/examples` need around them: a queue, a worker, the exchange double, and a gateway."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ops.children import child_group
from ops.redis_server import embedded_valkey, free_port
from ops.stack import Stack, User, stop, write_credentials
from producers import Producer
from producers.contract.access_keys import Scope
from tests.support.relays import Relay, relay

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "ops" / "examples"
USERS = tuple(str(number) for number in range(1001, 1021))
READY_S = 20.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The surroundings of an example.

    Attributes:
        folder: for the files of the examples.
        producer: of the test.
        stack: the worker and the exchange double.
        redis_relay: between the example and Redis.
        gateway_relay: between the example and the gateway.
        environ: the environment of the example.
    """

    folder: Path
    producer: Producer
    stack: Stack
    redis_relay: Relay
    gateway_relay: Relay
    environ: dict[str, str]

    @asynccontextmanager
    async def running(self, *command: str, **environ: str) -> AsyncIterator[Process]:
        """Run a program meanwhile, with its output in pipes."""
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=self.environ | environ, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
            process_group=child_group(),
        )  # fmt: skip
        try:
            yield process
        finally:
            await stop(process)

    async def arrivals(self, user_id: str) -> int:
        """Return how many requests of a user the exchange has had."""
        return sum(arrival["user"] == user_id for arrival in await self.stack.arrivals())


@asynccontextmanager
async def surroundings(folder: Path) -> AsyncIterator[Surroundings]:
    """Run everything that an example needs."""
    credentials = write_credentials(folder / "credentials.toml", [User(user) for user in USERS])
    async with AsyncExitStack() as resources:
        dsn = resources.enter_context(embedded_valkey())
        stack = await resources.enter_async_context(Stack(dsn, credentials, credentials))
        await stack.start_workers(1)
        port = free_port()
        redis_relay = await resources.enter_async_context(relay(int(dsn.rpartition(":")[2].partition("/")[0])))
        gateway_relay = await resources.enter_async_context(relay(port))
        producer = await resources.enter_async_context(Producer.connect(dsn))
        key = await producer.access_keys.add("the examples", list(Scope))
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COPYTRADE_")},
            "COPYTRADE_REDIS_DSN": f"redis://127.0.0.1:{redis_relay.port}/0",
            "COPYTRADE_REDIS_TIMEOUT_S": "1",
            "GATEWAY": f"http://127.0.0.1:{gateway_relay.port}",
            "GATEWAY_KEY": key.text,
        }
        found = Surroundings(folder, producer, stack, redis_relay, gateway_relay, environ)
        serve = (sys.executable, "-m", "producers.cli", "serve", "--port", str(port))
        await resources.enter_async_context(found.running(*serve, COPYTRADE_REDIS_DSN=dsn))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await answered(client, "/livez")
        yield found


async def answered(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """Return the first answer of a server that starts."""
    async with asyncio.timeout(READY_S):
        while True:
            try:
                return await client.get(path)
            except httpx.TransportError:
                await asyncio.sleep(POLL_S)
