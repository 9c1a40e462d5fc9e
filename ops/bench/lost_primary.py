"""The loss of the queue's primary: how many changes that a producer was told are accepted its replica does not know."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from ops.bench.environment import change
from ops.bench.measurement import Measurement
from ops.children import temporary_folder
from ops.redis_cluster import ClusterSetup, redis_cluster
from ops.redis_server import Valkey
from producers import Producer, QueueUnavailable
from producers.contract.keyspace import Keyspace
from producers.queue.slicing import slices
from producers.transport.dsn import open_redis

KILLS = 3
CHUNK = 100
CONNECTED_S, CUT_OFF_S = 1.0, 0.5
"""How long changes are enqueued with the replica connected, and then without it."""

WAIT_MS = 100
"""How long WAIT waits for the replica. A chunk that it has not got by then does not count as accepted."""

SLOT = key_slot(b"{copytrade}")
JOB = Keyspace("{copytrade}").job
MARKER = "{copytrade}:bench"
MAX_NAMES = 1_000
STEP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """One way to lose a primary.

    Attributes:
        with_wait: whether the producer lets the replica confirm each chunk.
        is_cut_off: whether the replica lost its connection before the kill.
        accepted: how many changes the producer took for accepted, of each kill.
        lost: how many of them the new primary did not know.
    """

    with_wait: bool
    is_cut_off: bool
    accepted: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)

    def measurements(self) -> list[Measurement]:
        """Return the most changes that one kill has lost, and how many were accepted on average."""
        wait = f"with WAIT 1 {WAIT_MS} after each chunk" if self.with_wait else "without WAIT"
        replica = f"cut off {CUT_OFF_S:g} s before" if self.is_cut_off else "connected"
        name = f"kill -9 of the primary, replica {replica}, {wait}, {len(self.lost)} kills"
        return [
            Measurement(f"{name}: accepted changes that are lost, the worst", max(self.lost), "changes"),
            Measurement(f"{name}: accepted, mean", sum(self.accepted) / len(self.accepted), "changes"),
        ]


async def losses() -> list[Measurement]:
    """Kill the owner of the queue's slot while changes are enqueued in chunks of 100, in four cases."""
    cases = [Case(with_wait, is_cut_off) for is_cut_off in (False, True) for with_wait in (False, True)]
    with temporary_folder("bench-") as folder, redis_cluster(folder) as cluster:
        for _ in range(KILLS):
            for case in cases:
                async with asyncio.timeout(STEP_TIMEOUT_S):
                    await _lose(cluster, case)
    return [measurement for case in cases for measurement in case.measurements()]


async def _lose(cluster: ClusterSetup, case: Case) -> None:
    """Enqueue until the owner is killed, and count what the new owner knows."""
    owner = await asyncio.to_thread(cluster.owner, SLOT)
    replica = await asyncio.to_thread(cluster.replica_of, owner)
    enqueuing = asyncio.create_task(_enqueue(cluster.dsn, with_wait=case.with_wait))
    await asyncio.sleep(CONNECTED_S)
    if case.is_cut_off:
        await asyncio.to_thread(_cut_off, cluster, owner, replica)
        await asyncio.sleep(CUT_OFF_S)
    await asyncio.to_thread(owner.kill)
    accepted = await enqueuing
    replica.thaw()
    while await asyncio.to_thread(cluster.owner, SLOT, asked=replica) is not replica:  # noqa: ASYNC110 - polls a server
        await asyncio.sleep(0.05)
    case.accepted.append(len(accepted))
    case.lost.append(len(accepted) - await asyncio.to_thread(_count_known, cluster, replica, accepted))
    await asyncio.to_thread(owner.start)
    await asyncio.to_thread(cluster.wait_until_formed)
    for node in cluster.nodes:
        with suppress(RedisError):  # a replica is read-only
            await asyncio.to_thread(cluster.command, node, "FLUSHALL")


def _cut_off(cluster: ClusterSetup, owner: Valkey, replica: Valkey) -> None:
    """Stop the replica and end its connection, so that what is written from now on is not on its way to it either."""
    replica.freeze()
    cluster.command(owner, "CLIENT", "KILL", "TYPE", "replica")


async def _enqueue(dsn: str, *, with_wait: bool) -> list[str]:
    """Enqueue chunks until Redis is gone. Return the IDs of the changes that are accepted."""
    accepted: list[str] = []
    client: Redis = open_redis(dsn, Redis, timeout_s=5)
    async with client, client.client() as one, Producer.connect(dsn) as producer:
        for chunk in count():
            try:
                report = await producer.enqueue_many(change(f"{chunk}-{number}") for number in range(CHUNK))
                # WAIT counts from the last write of its own connection, so that it needs one.
                if with_wait and not (await one.set(MARKER, chunk) and await one.wait(1, WAIT_MS)):
                    continue
            except (QueueUnavailable, RedisError):
                break
            accepted += [job.job_id for job in report.jobs]
    return accepted


def _count_known(cluster: ClusterSetup, owner: Valkey, job_ids: list[str]) -> int:
    """Return how many changes a node knows."""
    names = [JOB + job_id for job_id in job_ids]
    return sum(cluster.command(owner, "EXISTS", *some) for some in slices(names, MAX_NAMES))
