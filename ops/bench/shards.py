"""Several shards beside one, on a server and on a cluster of three: throughput, and CPU time of Redis a change."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from redis import Redis

from ops.bench.environment import DOUBLE_NO_RATE_LIMITS, NO_RATE_LIMITS, Environment, change, environment
from ops.bench.measurement import Measurement, at_most
from ops.bench.redis_load import LIMITED_S, LIMITED_USERS, Load
from ops.bench.throughput import drain
from ops.children import temporary_folder
from ops.redis_cluster import redis_cluster
from ops.redis_server import DURABLE, Valkey

USERS = 2_500
ROUNDS = 11
"""Short drains and many rounds, since the load of the machine changes meanwhile."""

POLL_INTERVAL_S = 0.1
MAX_COST_PERCENT = 15
MAX_NODE_PERCENT = 60
ON_SERVER, ON_CLUSTER = 4, 3
"""Shards on one server, and on the cluster."""


@dataclass(frozen=True, slots=True)
class Drain:
    """A drain of one change of each user.

    Attributes:
        rate: changes a second.
        cpu_us: CPU time of each node's main thread a change.
    """

    rate: float
    cpu_us: tuple[float, ...]

    @property
    def all_cpu_us(self) -> float:
        """The CPU time of all nodes."""
        return sum(self.cpu_us)


async def shards() -> list[Measurement]:
    """Measure drains with one shard and with several, by one worker, in turn; then a backlog at an egress's limit."""
    with temporary_folder("bench-") as folder:
        with Valkey(folder / "server", DURABLE) as server:
            on_server = await _rounds(server.dsn, [server], ON_SERVER)
        with redis_cluster(folder / "cluster", with_replicas=False) as nodes:
            on_cluster = await _rounds(nodes.dsn, nodes.nodes, ON_CLUSTER)
    limited = [figure for count in (1, ON_SERVER) for figure in await _at_the_limit(count)]
    return [
        *measurements("one server", ON_SERVER, on_server),
        *measurements("three primaries", ON_CLUSTER, on_cluster),
        busiest_node(ON_CLUSTER, on_cluster),
        *limited,
    ]


async def _rounds(dsn: str, nodes: Sequence[Valkey], shards: int) -> list[Mapping[int, Drain]]:
    """Drain a queue with one shard and one with several in turn, on the same servers; the order alternates."""
    users = [f"u{number}" for number in range(USERS)]
    async with AsyncExitStack() as running:
        environments: dict[int, Environment] = {}
        for count in (1, shards):
            opened = environment(
                users,
                workers=1,
                double_options=DOUBLE_NO_RATE_LIMITS,
                environ=NO_RATE_LIMITS,
                redis_dsn=dsn,
                shards=count,
                keyspace=f"of{count}",
            )
            environments[count] = await running.enter_async_context(opened)
            await drain(environments[count], POLL_INTERVAL_S, users=USERS)  # warms it up
        rounds: list[Mapping[int, Drain]] = []
        for number in range(ROUNDS):
            order = list(environments) if number % 2 else list(reversed(environments))
            rounds.append({count: await _drain(environments[count], nodes) for count in order})
    return rounds


async def _drain(env: Environment, nodes: Sequence[Valkey]) -> Drain:
    before = await asyncio.to_thread(_loads, nodes)
    rate = await drain(env, POLL_INTERVAL_S, users=USERS)
    after = await asyncio.to_thread(_loads, nodes)
    return Drain(rate, tuple((new - old) / USERS for old, new in zip(before, after, strict=True)))


def _loads(nodes: Sequence[Valkey]) -> list[float]:
    """Return the CPU time of each node so far, us."""
    found = []
    for node in nodes:
        with Redis(port=node.port) as client:
            info: Any = client.info("all")
            found.append(Load.from_info(info).cpu_us)
    return found


async def _at_the_limit(shards: int) -> list[Measurement]:
    """Measure what a backlog costs that one egress drains at its limit, 100 a second, over all shards."""
    users = [f"u{number}" for number in range(LIMITED_USERS)]
    async with environment(users, workers=1, shards=shards) as env:
        await env.producer.enqueue_many(change(user) for user in users)
        await asyncio.sleep(LIMITED_S / 2)
        finished, before = await env.count_finished(), Load.from_info(await env.redis.info("all"))
        await asyncio.sleep(LIMITED_S)
        ended, after = await env.count_finished() - finished, Load.from_info(await env.redis.info("all"))
    name = f"one egress at its limit, {_shards(shards)}"
    return [
        Measurement(f"{name}: rate", ended / LIMITED_S, "changes/s"),
        Measurement(f"{name}: CPU time of Redis", (after.cpu_us - before.cpu_us) / ended, "us a change"),
    ]


def measurements(where: str, count: int, rounds: Sequence[Mapping[int, Drain]]) -> list[Measurement]:
    """Return the medians of rounds, and what several shards cost of one in the same round."""
    name = f"{where}, median of {len(rounds)} rounds"
    rate, cpu = f"{USERS:,} changes, one worker", "CPU time of Redis"

    def median(value: Callable[[Mapping[int, Drain]], float]) -> float:
        return statistics.median(map(value, rounds))

    return [
        Measurement(f"{name}: {rate}, 1 shard", median(lambda each: each[1].rate), "changes/s"),
        Measurement(f"{name}: {rate}, {_shards(count)}", median(lambda each: each[count].rate), "changes/s"),
        Measurement(f"{name}: {cpu}, 1 shard", median(lambda each: each[1].all_cpu_us), "us a change"),
        Measurement(f"{name}: {cpu}, {_shards(count)}", median(lambda each: each[count].all_cpu_us), "us a change"),
        at_most(
            f"{name}: more CPU time of Redis than with 1 shard",
            median(lambda each: 100 * (each[count].all_cpu_us / each[1].all_cpu_us - 1)),
            "%",
            MAX_COST_PERCENT,
        ),
    ]


def busiest_node(count: int, rounds: Sequence[Mapping[int, Drain]]) -> Measurement:
    """Return the share of the CPU time that the busiest node had, the median of rounds."""
    shares = [100 * max(each[count].cpu_us) / each[count].all_cpu_us for each in rounds]
    figure = f"three primaries, {_shards(count)}: CPU time of the busiest node"
    return at_most(figure, statistics.median(shares), "% of all", MAX_NODE_PERCENT)


def _shards(count: int) -> str:
    return "1 shard" if count == 1 else f"{count} shards"
