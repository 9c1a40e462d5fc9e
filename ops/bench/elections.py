"""Elections: how long nothing is sent after the queue's primary was killed, until its replica has taken over."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from itertools import pairwise

from redis.crc import key_slot

from ops.bench.environment import Environment, change, environment
from ops.bench.measurement import NS_PER_S, Measurement, at_most
from ops.children import temporary_folder
from ops.redis_cluster import NODE_TIMEOUT_MS, ClusterSetup, redis_cluster
from ops.redis_server import Valkey

KILLS = 5
USERS = tuple(f"u{number}" for number in range(20))
CHANGES = 120
"""Of each user: at the egress's limit of 100 requests a second, they last for 24 s."""

BEFORE_S = 2.0
"""How long changes are sent before the kill."""

MAX_BEYOND_TIMEOUT_S = 3.0
MAX_RESUME_S = NODE_TIMEOUT_MS / 1000 + MAX_BEYOND_TIMEOUT_S
STEP_TIMEOUT_S = 60.0
SLOT = key_slot(b"{copytrade}")


async def elections() -> list[Measurement]:
    """Kill the owner of the queue's slot five times under load; the killed node comes back as a replica."""
    waits_s = []
    with temporary_folder("bench-") as folder, redis_cluster(folder) as cluster:
        async with environment(USERS, workers=2, redis_dsn=cluster.dsn) as env:
            for _ in range(KILLS):
                async with asyncio.timeout(STEP_TIMEOUT_S):
                    waits_s.append(await _kill(env, cluster))
    name = f"election in a cluster with a node time-out of {NODE_TIMEOUT_MS / 1000:g} s, {KILLS} kills"
    return [
        Measurement(
            f"{name}: from the kill to the first request of a new claim, median", statistics.median(waits_s), "s"
        ),
        at_most(f"{name}: the worst", max(waits_s), "s", MAX_RESUME_S),
    ]


async def _kill(env: Environment, cluster: ClusterSetup) -> float:
    """Return the seconds from the kill of the owner to when changes are sent again."""
    await env.stack.reset()
    await env.producer.enqueue_many(change(user, number) for number in range(CHANGES) for user in USERS)
    await asyncio.sleep(BEFORE_S)
    owner = await asyncio.to_thread(cluster.owner, SLOT)
    killed_ns = await asyncio.to_thread(_killed, owner)
    await asyncio.sleep(MAX_RESUME_S + 1)
    arrivals_ns = [arrival["at_ns"] for arrival in await env.stack.arrivals() if arrival["user"]]
    await asyncio.to_thread(owner.start)
    await asyncio.to_thread(cluster.wait_until_formed)
    for user in USERS:
        await env.producer.cancel_user(user)
    return (resumed_ns(arrivals_ns, killed_ns) - killed_ns) / NS_PER_S


def _killed(owner: Valkey) -> int:
    """Kill a node; return when, monotonic clock."""
    killed_ns = time.monotonic_ns()
    owner.kill()
    return killed_ns


def resumed_ns(arrivals_ns: Sequence[int], killed_ns: int) -> int:
    """Return when changes were sent again: at the end of the longest silence after the kill.

    What workers had claimed before the kill is still sent within their session.
    """
    times = sorted([killed_ns, *(at_ns for at_ns in arrivals_ns if at_ns > killed_ns)])
    _, end_ns = max((after - before, after) for before, after in pairwise(times))
    return end_ns
