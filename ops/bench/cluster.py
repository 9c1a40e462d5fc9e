"""A cluster: throughput beside a single server, the time of an election, and what the loss of a primary loses."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from ops.bench.elections import elections
from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, environment
from ops.bench.lost_primary import losses
from ops.bench.measurement import Measurement, at_most
from ops.bench.throughput import USERS, drain
from ops.children import temporary_folder
from ops.redis_cluster import redis_cluster
from ops.redis_server import DURABLE, Valkey

ROUNDS = 7
MAX_COST_PERCENT = 10
SERVER, PAIR, CLUSTER = "server", "pair", "cluster"
"""One server; a server with a replica; three primaries, each with a replica. All keep an append-only file."""


async def cluster() -> list[Measurement]:
    """Measure throughput, five elections, and losses with and without WAIT."""
    return [*await throughput(), *await elections(), *await losses()]


async def throughput() -> list[Measurement]:
    """Measure drains of 10,000 users by one worker on each kind of servers in turn; the order alternates."""
    users = [f"u{number}" for number in range(USERS)]
    rounds: list[Mapping[str, float]] = []
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
                    await drain(environments[kind])  # warms it up
                for number in range(ROUNDS):
                    order = list(environments) if number % 2 else list(reversed(environments))
                    rounds.append({kind: await drain(environments[kind]) for kind in order})
    return measurements(rounds)


def measurements(rounds: Sequence[Mapping[str, float]]) -> list[Measurement]:
    """Return what a cluster costs, the medians of rounds: each compares drains that followed each other."""
    name = f"median of {len(rounds)} rounds"
    median = {kind: statistics.median(each[kind] for each in rounds) for kind in (SERVER, PAIR, CLUSTER)}
    costs = {
        kind: statistics.median(100 * (1 - each[CLUSTER] / each[kind]) for each in rounds) for kind in (SERVER, PAIR)
    }
    return [
        Measurement(f"10,000 changes, one worker, one server, {name}", median[SERVER], "changes/s"),
        Measurement(f"the same, a server with a replica, {name}", median[PAIR], "changes/s"),
        Measurement(f"the same, three primaries with a replica each, {name}", median[CLUSTER], "changes/s"),
        at_most(f"throughput that a cluster costs of that of one server, {name}", costs[SERVER], "%", MAX_COST_PERCENT),
        Measurement(f"throughput that it costs of that of a server with a replica, {name}", costs[PAIR], "%"),
    ]
