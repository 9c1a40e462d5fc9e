"""What metrics cost: workers that count and are scraped, beside workers that do neither, in turn."""

from __future__ import annotations

import asyncio
import os
import statistics
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, environment
from ops.bench.measurement import Measurement, at_most
from ops.bench.throughput import USERS, drain
from ops.redis_server import free_port
from ops.stack import stop

ROUNDS = 6
SCRAPE_INTERVAL_S = 1.0
"""Prometheus scrapes once in 15 s to a minute."""

MAX_COST_PERCENT = 3
COUNTING, UNCOUNTING = "worker", "ops.bench.uncounting_worker"


@dataclass(frozen=True, slots=True)
class Drained:
    """One drain by one worker.

    Attributes:
        rate_per_s: changes a second, end to end.
        cpu_us: the worker's CPU time for each change.
    """

    rate_per_s: float
    cpu_us: float


async def metrics() -> list[Measurement]:
    """Measure drains of 10,000 users, each by a fresh worker, with and without metrics; the order alternates."""
    users = [f"u{number}" for number in range(USERS)]
    rounds: list[Mapping[str, Drained]] = []
    async with environment(users, workers=0, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS) as env:
        for number in range(ROUNDS):
            order = (COUNTING, UNCOUNTING) if number % 2 else (UNCOUNTING, COUNTING)
            rounds.append({module: await _drain_with(env, module) for module in order})
    return measurements(rounds)


def measurements(rounds: Sequence[Mapping[str, Drained]]) -> list[Measurement]:
    """Return what metrics cost, the medians of rounds: each compares two drains that followed each other."""
    pairs = [(each[COUNTING], each[UNCOUNTING]) for each in rounds]
    rate = statistics.median(100 * (1 - counting.rate_per_s / plain.rate_per_s) for counting, plain in pairs)
    cpu = statistics.median(100 * (counting.cpu_us / plain.cpu_us - 1) for counting, plain in pairs)
    name = f"median of {len(rounds)} rounds"
    return [
        Measurement(
            f"10,000 changes, one worker, metrics scraped once a second, {name}",
            statistics.median(counting.rate_per_s for counting, _ in pairs),
            "changes/s",
        ),
        at_most(f"throughput that metrics cost, {name}", rate, "%", MAX_COST_PERCENT),
        at_most(f"CPU time of the worker that they cost, {name}", cpu, "%", MAX_COST_PERCENT),
    ]


async def _drain_with(env: Environment, module: str) -> Drained:
    """Measure the second drain of a fresh worker: the first one warms it up."""
    url = f"http://127.0.0.1:{free_port()}"
    environ = {"COPYTRADE_METRICS_PORT": url.rpartition(":")[2]} if module == COUNTING else {}
    (worker,) = await env.stack.start_workers(1, module=module, **environ)
    scraping = asyncio.create_task(_scrape(url)) if module == COUNTING else None
    try:
        await drain(env)
        before_s = cpu_s(worker)
        rate_per_s = await drain(env)
        return Drained(rate_per_s, (cpu_s(worker) - before_s) / USERS * 1e6)
    finally:
        if scraping is not None:
            scraping.cancel()
        await stop(worker)


async def _scrape(url: str) -> None:
    """Read a worker's metrics, once a second; until it serves them, nobody listens there."""
    async with aiohttp.ClientSession() as http:
        while True:
            with suppress(aiohttp.ClientConnectionError):
                async with http.get(f"{url}/metrics") as response:
                    response.raise_for_status()
                    await response.read()
            await asyncio.sleep(SCRAPE_INTERVAL_S)


def cpu_s(process: Process) -> float:
    """Return the CPU time of a process so far, from `/proc` (Linux only)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])  # utime and stime: fields 14 and 15 of the line, see proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")
