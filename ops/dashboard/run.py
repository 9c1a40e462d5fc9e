"""The run that the picture shows: real processes, two egresses, and faults one after another."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
import msgspec

from ops.children import temporary_folder
from ops.dashboard.prometheus import Prometheus, scraping
from ops.redis_server import Valkey, free_port
from ops.serving import serving
from ops.stack import Stack, User, write_credentials
from producers import CopySetting, Producer, SettingsChange

FOLLOWERS = 6_000
"""Of the fan-out: a minute's work of two egresses at 50 requests a second each."""

SINGLES_PER_S = 8
SINGLE_USERS = 200
STREAMS = 3
RECONNECT_S = 1
TRADER = "4728317"
REJECTED = [f"s{number}" for number in range(30)]
"""Users whose keys the exchange begins to reject."""

REDIS = ("appendonly no", "maxmemory-policy noeviction", "maxmemory 64mb")
WORKERS = {
    "COPYTRADE_EGRESS_RATE_PER_S": "50",
    "COPYTRADE_LOG_LEVEL": "ERROR",
    "COPYTRADE_METRICS_HOST": "127.0.0.1",
}
DOUBLE = ("--egress-per-min", "12000")
"""Both egresses have the address of this machine."""


@dataclass(slots=True)
class Stage:
    """The processes of the run.

    Attributes:
        redis: the server.
        stack: the double and the workers.
        http: a client of the gateway.
        prometheus: scrapes the gateway and the workers.
        ports: of the workers' metrics, by egress.
        began_s: when the run began, Unix seconds.
        events: what happened, and when, in seconds since then.
    """

    redis: Valkey
    stack: Stack
    http: aiohttp.ClientSession
    prometheus: Prometheus
    ports: dict[str, int]
    began_s: float = field(default_factory=time.time)
    events: list[tuple[float, str]] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Note what happens now."""
        self.events.append((time.time() - self.began_s, text))

    async def start_worker(self, egress: str) -> asyncio.subprocess.Process:
        """Start the worker of an egress."""
        port = str(self.ports[egress])
        (worker,) = await self.stack.start_workers(COPYTRADE_EGRESS=egress, COPYTRADE_METRICS_PORT=port)
        return worker


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """Run all processes meanwhile, but for the workers."""
    ports = {"north": free_port(), "south": free_port()}
    users = [User(f"f{number}") for number in range(FOLLOWERS)] + [User(f"s{number}") for number in range(SINGLE_USERS)]
    with temporary_folder("dashboard-") as folder, Valkey(folder / "redis", REDIS) as redis:
        credentials = write_credentials(folder / "credentials.toml", users)
        stack = Stack(redis.dsn, credentials, credentials, DOUBLE, WORKERS)
        async with (
            stack,
            serving(redis.dsn, "--no-auth") as gateway,
            aiohttp.ClientSession(gateway.url) as http,
            scraping(folder, _targets(gateway.port, ports)) as prometheus,
        ):
            yield Stage(redis, stack, http, prometheus, ports)


def _targets(gateway: int, workers: dict[str, int]) -> dict[str, list[str]]:
    return {
        "copytrade-gateway": [f"127.0.0.1:{gateway}"],
        "copytrade-worker": [f"127.0.0.1:{port}" for port in workers.values()],
    }


async def play(stage: Stage, on_event: Callable[[str], None]) -> None:
    """Play the run, two minutes and a half."""

    def note(text: str) -> None:
        stage.note(text)
        on_event(text)

    await stage.start_worker("north")
    south = await stage.start_worker("south")
    async with Producer.connect(stage.redis.dsn) as producer, asyncio.TaskGroup() as tasks:
        background = [tasks.create_task(_send_singles(stage.http))]
        await asyncio.sleep(8)
        note(f"a fan-out of {FOLLOWERS:,} users")
        batch = await producer.fan_out(
            trader_id=TRADER, settings=_change("").settings, user_ids=(f"f{number}" for number in range(FOLLOWERS))
        )
        background += [tasks.create_task(_read_stream(stage.http, batch.batch_id)) for _ in range(STREAMS)]
        await asyncio.sleep(17)
        note("the exchange answers 503 for 15 s")
        await _faults_for(stage, 15, {"kind": "outage"})
        await asyncio.sleep(15)
        note("it throttles everybody for 6 s")
        await _faults_for(stage, 6, {"kind": "http_429"})
        await asyncio.sleep(18)
        note("the worker of south is killed")
        south.kill()
        await asyncio.sleep(8)
        note("it is started again")
        await stage.start_worker("south")
        await asyncio.sleep(10)
        note("Redis stands still for 5 s")
        stage.redis.freeze()
        await asyncio.sleep(5)
        stage.redis.thaw()
        await asyncio.sleep(10)
        note(f"the API keys of {len(REJECTED)} users are rejected")
        await stage.stack.set_faults(*({"kind": "code:40037", "user": user} for user in REJECTED))
        await asyncio.sleep(12)
        note("everything is paused for 12 s")
        await producer.pause(everything=True)
        await asyncio.sleep(12)
        await producer.resume(everything=True)
        await asyncio.sleep(10)
        for task in background:
            task.cancel()


async def _faults_for(stage: Stage, seconds: float, *faults: dict[str, object]) -> None:
    await stage.stack.set_faults(*faults)
    await asyncio.sleep(seconds)
    await stage.stack.set_faults()


async def _send_singles(http: aiohttp.ClientSession) -> None:
    """Enqueue single changes over HTTP at a steady rate, whatever is answered."""
    async with asyncio.TaskGroup() as calls:
        for number in itertools.count():
            calls.create_task(_post(http, _change(f"s{number % SINGLE_USERS}")))
            await asyncio.sleep(1 / SINGLES_PER_S)


async def _post(http: aiohttp.ClientSession, change: SettingsChange) -> None:
    headers = {"Content-Type": "application/json"}
    async with http.post("/v1/changes", data=msgspec.json.encode(change), headers=headers) as answer:
        await answer.read()


async def _read_stream(http: aiohttp.ClientSession, batch_id: str) -> None:
    """Read the results of a batch to the end, with a new stream whenever one breaks off."""
    last_id = ""
    timeout = aiohttp.ClientTimeout(total=None)
    while True:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        with suppress(aiohttp.ClientError):
            async with http.get(f"/v1/batches/{batch_id}/events", headers=headers, timeout=timeout) as answer:
                async for line in answer.content:
                    if line.startswith(b"id: "):
                        last_id = line.removeprefix(b"id: ").decode().strip()
                    if line.startswith(b"event: complete"):
                        return
        await asyncio.sleep(RECONNECT_S)


def _change(user: str) -> SettingsChange:
    setting = CopySetting(
        symbol="BTCUSDT",
        product_type="USDT-FUTURES",
        margin_type="trader",
        lever_type="trader",
        trace_type="percent",
        trace_value="0.5",
    )
    return SettingsChange(user_id=user, trader_id=TRADER, settings=[setting])
