"""A cluster: throughput beside a single server, the time of an election, and what the loss of a primary loses."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import astuple, dataclass

from ops.bench.elections import elections
from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, environment
from ops.bench.lost_primary import losses
from ops.bench.measurement import Measurement, at_most
from ops.bench.metrics import cpu_s
from ops.bench.redis_load import US_PER_S, Load
from ops.bench.throughput import drain
from ops.children import temporary_folder
from ops.redis_cluster import redis_cluster
from ops.redis_server import DURABLE, Valkey

ROUNDS = 15
USERS = 2_500
"""Short drains in turn: the load of the machine differs less between two that follow each other."""

MAX_COST_PERCENT = 10
SERVER, PAIR, CLUSTER = "server", "pair", "cluster"
"""One server; a server with a replica; three primaries, each with a replica. All keep an append-only file."""


@dataclass(frozen=True, slots=True)
class Drained:
    """One drain by one worker.

    Attributes:
        rate_per_s: changes a second, end to end.
        redis_us: the CPU time of the primary's main thread for each change.
        worker_us: the worker's CPU time for each change.
    """

    rate_per_s: float
    redis_us: float
    worker_us: float


async def cluster() -> list[Measurement]:
    """Measure throughput, five elections, and losses with and without WAIT."""
    return [*await throughput(), *await elections(), *await losses()]


async def throughput() -> list[Measurement]:
    """Measure drains of 2,500 users by one worker on each kind of servers in turn; the order alternates."""
    users = [f"u{number}" for number in range(USERS)]
    rounds: list[Mapping[str, Drained]] = []
    with temporary_folder("bench-") as folder:
        server = Valkey(folder / "server", DURABLE)
        primary = Valkey(folder / "primary", DURABLE)
        replica = Valkey(folder / "replica", [*DURABLE, f"replicaof 127.0.0.1 {primary.port}"])
        with server, primary, replica, redis_cluster(folder / "cluster") as nodes:
            async with AsyncExitStack() as running:
                environments: dict[str, Environment] = {}
                for kind, dsn in ((SERVER, server.dsn), (PAIR, primary.dsn), (CLUSTER, nodes.dsn)):
                    opened = environment(
                        users, workers=1, double_options=DOUBLE_NO_RATE_LIMITS, environ=NO_RATE_LIMITS, redis_dsn=dsn
                    )
                    environments[kind] = await running.enter_async_context(opened)
                    await _drain(environments[kind])  # warms it up
                for number in range(ROUNDS):
                    order = list(environments) if number % 2 else list(reversed(environments))
                    rounds.append({kind: await _drain(environments[kind]) for kind in order})
    return measurements(rounds)


async def _drain(env: Environment) -> Drained:
    """Drain one change of each user."""
    (worker,) = env.stack.workers
    redis_before, worker_before_s = Load.from_info(await env.redis.info("all")), cpu_s(worker)
    rate_per_s = await drain(env, users=USERS)
    redis_after, worker_after_s = Load.from_info(await env.redis.info("all")), cpu_s(worker)
    return Drained(
        rate_per_s,
        (redis_after.cpu_us - redis_before.cpu_us) / USERS,
        US_PER_S * (worker_after_s - worker_before_s) / USERS,
    )


def measurements(rounds: Sequence[Mapping[str, Drained]]) -> list[Measurement]:
    """Return what a cluster costs, the medians of rounds: each compares drains that followed each other."""
    name = f"{USERS:,} changes, one worker, median of {len(rounds)} rounds"
    measured = []
    for kind, servers in (
        (SERVER, "one server"),
        (PAIR, "a server with a replica"),
        (CLUSTER, "three primaries with a replica each"),
    ):
        rate, redis_us, worker_us = (
            statistics.median(column) for column in zip(*map(astuple, (each[kind] for each in rounds)), strict=True)
        )
        measured += [
            Measurement(f"{servers}: {name}", rate, "changes/s"),
            Measurement(f"{servers}: CPU time of the primary", redis_us, "us a change"),
            Measurement(f"{servers}: CPU time of the worker", worker_us, "us a change"),
        ]
    for kind, servers in ((PAIR, "a server with a replica"), (SERVER, "one server")):
        cost = statistics.median(100 * (1 - each[CLUSTER].rate_per_s / each[kind].rate_per_s) for each in rounds)
        title = f"throughput that a cluster costs of that of {servers}, median of {len(rounds)} rounds"
        measured.append(at_most(title, cost, "%", MAX_COST_PERCENT))
    return measured
