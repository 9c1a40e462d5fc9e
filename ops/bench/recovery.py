"""Recovery: how long a lane waits after its worker was killed, from kill -9 to its next request by another worker."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Collection
from dataclasses import dataclass
from typing import cast

from ops.bench.environment import POLL_INTERVAL_S, Environment, change, environment
from ops.bench.measurement import NS_PER_S, Measurement, at_most
from ops.keys import KEYS
from producers.contract import keyspace

USERS = [f"u{number}" for number in range(8)]
BACKLOG = 2500
KILLS = 10
IN_FLIGHT_NS = NS_PER_S // 5
"""Requests that arrive this soon after the kill may still be the killed worker's."""

MAX_WAIT_S = 10
STEP_TIMEOUT_S = 60.0
TRADER = "123123123"

SEED = 4
"""Of the random moments of the kills."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill -9.

    Attributes:
        at_ns: its time, monotonic clock.
        held: the users whose lanes the worker held.
    """

    at_ns: int
    held: Collection[str]


async def recovery() -> list[Measurement]:
    """Measure ten kills during slow requests, with nearly all held lanes in mid-request, and ten during quick ones."""
    slow = await _measure(latency_ms=400)
    quick = await _measure(latency_ms=5)
    return [
        *_measurements("kill -9 in mid-request", slow),
        *_measurements("kill -9 between quick requests", quick),
    ]


def _measurements(name: str, waits_s: list[float]) -> list[Measurement]:
    return [
        Measurement(f"{name}: lanes that were held, {KILLS} kills", len(waits_s), "lanes"),
        Measurement(f"{name}: to the lane's next request, median", statistics.median(waits_s), "s"),
        at_most(f"{name}: the worst", max(waits_s), "s", MAX_WAIT_S),
    ]


async def _measure(latency_ms: int) -> list[float]:
    """Return the seconds from the kill to the next request, for each lane that a killed worker held."""
    chance = random.Random(SEED)
    waits_s: list[float] = []
    environ = {"COPYTRADE_MAX_JOBS": str(len(USERS) // 2)}  # leaves lanes for the victim
    async with environment(USERS, workers=1, double_options=("--latency-ms", str(latency_ms)), environ=environ) as env:
        await env.producer.enqueue_many(change(user, n + 1, TRADER) for n in range(BACKLOG) for user in USERS)
        async with asyncio.timeout(STEP_TIMEOUT_S):
            survivor = await _wait_for_holder(env, other_than="")
        kills = 0
        while kills < KILLS:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                kill = await _kill(env, survivor, chance)
                waits_s += await _waits_s(env, kill)
            kills += bool(kill.held)  # its last lane may have been settled just then
    return waits_s


async def _kill(env: Environment, survivor: str, chance: random.Random) -> Kill:
    """Start a second worker, and kill it at a random moment at which it holds a lane."""
    (victim,) = await env.stack.start_workers(1)
    await _wait_for_holder(env, other_than=survivor)
    await asyncio.sleep(chance.uniform(0.5, 1.5))
    await _wait_for_holder(env, other_than=survivor)
    victim.kill()
    killed_ns = time.monotonic_ns()
    await victim.wait()
    # Its lanes still have its tokens: nobody settles them, and the leases last for seconds.
    held = [user for user, holder in (await _holders(env)).items() if holder not in ("", survivor)]
    return Kill(killed_ns, held)


async def _waits_s(env: Environment, kill: Kill) -> list[float]:
    """Return how long each held lane waited."""
    while True:
        next_ns: dict[str, int] = {}
        for arrival in await env.stack.arrivals():
            if arrival["at_ns"] > kill.at_ns + IN_FLIGHT_NS:
                next_ns.setdefault(arrival["user"], arrival["at_ns"])
        if all(user in next_ns for user in kill.held):
            return [(next_ns[user] - kill.at_ns) / NS_PER_S for user in kill.held]
        await asyncio.sleep(POLL_INTERVAL_S * 20)


async def _wait_for_holder(env: Environment, *, other_than: str) -> str:
    """Return a worker, other than the named one, once it holds a lane."""
    while True:
        for holder in (await _holders(env)).values():
            if holder not in ("", other_than):
                return holder
        await asyncio.sleep(POLL_INTERVAL_S / 10)


async def _holders(env: Environment) -> dict[str, str]:
    """Return the worker that holds each user's lane, by the start of the token; "" for none."""
    async with env.redis.pipeline(transaction=False) as pipe:
        for user in USERS:
            pipe.hget(KEYS.head + keyspace.lane(user, TRADER), "token")
        tokens = await cast("Awaitable[list[bytes | None]]", pipe.execute())
    return {user: (token or b"").decode().partition(".")[0] for user, token in zip(USERS, tokens, strict=True)}
