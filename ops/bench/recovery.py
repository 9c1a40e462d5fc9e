"""Recovery: how long a lane waits after its worker was killed, from kill -9 to its next request by another worker.

Which lanes the killed worker held is known from the double alone: they are those of the requests whose connection had
been closed before their reply was ready. Each round has users of its own. The older of two workers is killed, and the
newer one is the older one of the next round.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.bench.environment import POLL_INTERVAL_S, Environment, change, environment
from ops.bench.measurement import NS_PER_S, Measurement, at_most

KILLS = 50
MAX_ROUNDS = 2 * KILLS
"""A kill in a round counts only for the kinds of users of which the worker held a lane."""

LATENCY_MS = 400
"""Of each reply: one lane sends 2.5 requests a second, well below its user's limit."""

LANES_AT_LIMIT = 12
"""Of one user: together they would send 30 requests a second, of which the limit permits 10."""

USERS_BELOW = 4
CHANGES_AT_LIMIT, CHANGES_BELOW = 12, 30
"""Changes of each lane, enough for about 12 s."""

BUSY_ARRIVALS = 9
"""A user is at its limit if so many of its requests have arrived in the last second before the kill."""

STEP_TIMEOUT_S = 60.0
TRADER = "123123123"

SEED = 4
"""Of the random moments of the kills."""

Lane = tuple[str, str]
"""A user and a trader."""

Arrivals = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """The waits of the lanes of one kind of users.

    Attributes:
        name: of the kind.
        max_wait_s: the target.
        kills: for each kill that counts, the waits of the lanes that were held, seconds.
    """

    name: str
    max_wait_s: float
    kills: list[list[float]] = field(default_factory=list)

    def measurements(self) -> list[Measurement]:
        """Return the number of lanes, their median wait, and the longest."""
        waits_s = [wait_s for kill in self.kills for wait_s in kill]
        name = f"kill -9, {len(self.kills)} kills, user {self.name} its limit"
        return [
            Measurement(f"{name}: lanes that were held", len(waits_s), "lanes"),
            Measurement(f"{name}: to the lane's next request, median", statistics.median(waits_s), "s"),
            at_most(f"{name}: the worst", max(waits_s), "s", self.max_wait_s),
        ]


async def recovery() -> list[Measurement]:
    """Measure 50 kills in mid-request of users below their limit, and 50 of users at their limit."""
    chance = random.Random(SEED)
    below, at_limit = Kind("below", 3), Kind("at", 4.5)
    users = [user for number in range(MAX_ROUNDS) for user in (*_below(number), _at_limit(number))]
    async with environment(users, workers=1, double_options=("--latency-ms", str(LATENCY_MS))) as env:
        for number in range(MAX_ROUNDS):
            async with asyncio.timeout(STEP_TIMEOUT_S):
                await _round(env, number, below, at_limit, chance)
            if min(len(below.kills), len(at_limit.kills)) >= KILLS:
                return [*below.measurements(), *at_limit.measurements()]
    raise RuntimeError(f"{MAX_ROUNDS} kills: {len(below.kills)} held lanes below, {len(at_limit.kills)} at their limit")


def _below(number: int) -> list[str]:
    return [f"b{number}x{index}" for index in range(USERS_BELOW)]


def _at_limit(number: int) -> str:
    return f"a{number}"


async def _round(env: Environment, number: int, below: Kind, at_limit: Kind, chance: random.Random) -> None:
    """Enqueue, start a worker, kill the one before it, wait for the lanes that it held, and cancel what is left."""
    users_below, user_at_limit = _below(number), _at_limit(number)
    await env.stack.reset()
    await env.producer.enqueue_many(change(user, n + 1) for n in range(CHANGES_BELOW) for user in users_below)
    await env.producer.enqueue_many(
        change(user_at_limit, n + 1, str(int(TRADER) + lane))
        for n in range(CHANGES_AT_LIMIT)
        for lane in range(LANES_AT_LIMIT)
    )
    killed_ns = await _kill(env, chance)
    await asyncio.sleep(2 * LATENCY_MS / 1000)  # until the double has noticed each reply that it cannot send
    arrivals = await env.stack.arrivals()
    lost = lost_lanes(arrivals, killed_ns)
    lost_below = [lane for lane in lost if lane[0] in users_below]
    lost_at_limit = [lane for lane in lost if lane[0] == user_at_limit]
    if not _is_busy(arrivals, user_at_limit, killed_ns):
        lost_at_limit = []
    for kind, lanes in ((below, lost_below), (at_limit, lost_at_limit)):
        if lanes and len(kind.kills) < KILLS:
            kind.kills.append(await _wait_for_next(env, lanes, killed_ns))
    for user in (*users_below, user_at_limit):
        await env.producer.cancel_user(user)


async def _kill(env: Environment, chance: random.Random) -> int:
    """Start a worker, and kill the one before it at a random moment. Return the time of the kill, monotonic clock."""
    victim = env.stack.workers[-1]
    await env.stack.start_workers(1)
    # A worker that is ready has fetched the double's time; those requests have no user.
    while all(arrival["user"] for arrival in await env.stack.arrivals()):  # noqa: ASYNC110 - polls another process
        await asyncio.sleep(POLL_INTERVAL_S * 5)
    await asyncio.sleep(chance.uniform(0.2, 1.2))
    killed_ns = time.monotonic_ns()
    victim.kill()
    await victim.wait()
    return killed_ns


async def _wait_for_next(env: Environment, lanes: Collection[Lane], killed_ns: int) -> list[float]:
    """Return how long each of the lanes waited."""
    while True:
        waits_s = waits_by_lane(await env.stack.arrivals(), killed_ns)
        if all(lane in waits_s for lane in lanes):
            return [waits_s[lane] for lane in lanes]
        await asyncio.sleep(POLL_INTERVAL_S * 20)


def lost_lanes(arrivals: Arrivals, killed_ns: int) -> list[Lane]:
    """Return the lanes of the requests that were in progress at the kill and lost their client."""
    return [
        _lane(arrival)
        for arrival in arrivals
        if arrival["disconnected"] and arrival["at_ns"] <= killed_ns <= arrival["answered_ns"]
    ]


def waits_by_lane(arrivals: Arrivals, killed_ns: int) -> dict[Lane, float]:
    """Return the seconds from the kill to the first request of each lane after it."""
    waits_s: dict[Lane, float] = {}
    for arrival in arrivals:
        if arrival["at_ns"] > killed_ns:
            waits_s.setdefault(_lane(arrival), (arrival["at_ns"] - killed_ns) / NS_PER_S)
    return waits_s


def _lane(arrival: Mapping[str, Any]) -> Lane:
    return arrival["user"], arrival["trader"]


def _is_busy(arrivals: Arrivals, user: str, killed_ns: int) -> bool:
    """Return whether a user was at its limit in the second before the kill."""
    window_ns = range(killed_ns - NS_PER_S + 1, killed_ns + 1)
    recent = [arrival for arrival in arrivals if arrival["user"] == user and arrival["at_ns"] in window_ns]
    return len(recent) >= BUSY_ARRIVALS
