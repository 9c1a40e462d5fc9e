"""How long a lane stands still when its worker is killed: from kill -9 to its next request by another worker."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Collection
from dataclasses import dataclass
from typing import cast

from ops.bench.figures import NS_PER_S, Figure, at_most
from ops.bench.lab import LOOK_S, Lab, change, lab
from producers.contract import keyspace

USERS = [f"u{number}" for number in range(8)]
BACKLOG = 2500
KILLS = 10
IN_FLIGHT_NS = NS_PER_S // 5
"""What a killed worker had written may still arrive so long."""

MOST_S = 10
PATIENCE_S = 60.0
TRADER = "123123123"

SEED = 4
"""Of the moments at which workers are killed."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill -9.

    Attributes:
        at_ns: when, monotonic clock.
        held: the users whose lanes the worker held.
    """

    at_ns: int
    held: Collection[str]


async def recovery() -> list[Figure]:
    """Ten kills while requests take long, so that nearly every lane is in mid-request; ten while they are quick."""
    slow = await _measure(latency_ms=400)
    quick = await _measure(latency_ms=5)
    return [
        *_figures("kill -9 in mid-request", slow),
        *_figures("kill -9 between quick requests", quick),
    ]


def _figures(name: str, waits_s: list[float]) -> list[Figure]:
    return [
        Figure(f"{name}: lanes that were held, {KILLS} kills", len(waits_s), "lanes"),
        Figure(f"{name}: to the lane's next request, median", statistics.median(waits_s), "s"),
        at_most(f"{name}: the worst", max(waits_s), "s", MOST_S),
    ]


async def _measure(latency_ms: int) -> list[float]:
    """For each lane that a killed worker held, the seconds from the kill to its next request."""
    chance = random.Random(SEED)
    waits_s: list[float] = []
    environ = {"COPYTRADE_MAX_JOBS": str(len(USERS) // 2)}  # so that the survivor leaves something to the victims
    async with lab(USERS, workers=1, double_options=("--latency-ms", str(latency_ms)), environ=environ) as bench:
        await bench.producer.enqueue_many(change(user, n + 1, TRADER) for n in range(BACKLOG) for user in USERS)
        async with asyncio.timeout(PATIENCE_S):
            survivor = await _other_holder(bench, besides="")
        kills = 0
        while kills < KILLS:
            async with asyncio.timeout(PATIENCE_S):
                kill = await _kill(bench, survivor, chance)
                waits_s += await _waits_s(bench, kill)
            kills += bool(kill.held)  # a lane may be settled in the very moment
    return waits_s


async def _kill(bench: Lab, survivor: str, chance: random.Random) -> Kill:
    """Starts a second worker, and kills it at some moment at which it holds a lane."""
    (victim,) = await bench.stack.start_workers(1)
    await _other_holder(bench, besides=survivor)
    await asyncio.sleep(chance.uniform(0.5, 1.5))
    await _other_holder(bench, besides=survivor)
    victim.kill()
    killed_ns = time.monotonic_ns()
    await victim.wait()
    # What it held is still its own: nobody settles it, and the leases go on for seconds.
    held = [user for user, holder in (await _holders(bench)).items() if holder not in ("", survivor)]
    return Kill(killed_ns, held)


async def _waits_s(bench: Lab, kill: Kill) -> list[float]:
    """How long each lane that was held waited."""
    while True:
        next_ns: dict[str, int] = {}
        for arrival in await bench.stack.arrivals():
            if arrival["at_ns"] > kill.at_ns + IN_FLIGHT_NS:
                next_ns.setdefault(arrival["user"], arrival["at_ns"])
        if all(user in next_ns for user in kill.held):
            return [(next_ns[user] - kill.at_ns) / NS_PER_S for user in kill.held]
        await asyncio.sleep(LOOK_S * 20)


async def _other_holder(bench: Lab, *, besides: str) -> str:
    """A worker that holds a lane and is not the one named."""
    while True:
        for holder in (await _holders(bench)).values():
            if holder not in ("", besides):
                return holder
        await asyncio.sleep(LOOK_S / 10)


async def _holders(bench: Lab) -> dict[str, str]:
    """Who holds each user's lane, by the name that begins its token; "" for nobody."""
    async with bench.redis.pipeline(transaction=False) as pipe:
        for user in USERS:
            pipe.hget(keyspace.HEAD + keyspace.lane(user, TRADER), "token")
        tokens = await cast("Awaitable[list[bytes | None]]", pipe.execute())
    return {user: (token or b"").decode().partition(".")[0] for user, token in zip(USERS, tokens, strict=True)}
