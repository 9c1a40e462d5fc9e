"""A Redis Cluster whose owner of the queue's slot a test changes, and producers of both kinds on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot
from redis.exceptions import RedisError

from ops.redis_cluster import ClusterSetup
from ops.redis_server import Valkey
from producers import Producer, ProducerSettings
from producers.sync import Producer as PlainProducer
from producers.transport.slot_owner import Address, SlotOwner

SLOT = key_slot(b"{copytrade}")
KINDS = ("asynchronous", "synchronous")
PATIENT, QUICK = ProducerSettings(redis_timeout_s=10), ProducerSettings(redis_timeout_s=1)
WITHIN_S = 40.0
"""Time limit of each test, seconds: far more than any of them takes."""


def owner(cluster: ClusterSetup) -> Valkey:
    """Return the node that owns the queue's slot."""
    return cluster.owner(SLOT)


def primaries(cluster: ClusterSetup) -> list[Valkey]:
    """Return the nodes that own slots."""
    return list({cluster.owner(slot).port: cluster.owner(slot) for slot in (0, SLOTS // 2, SLOTS - 1)}.values())


async def fail_over(cluster: ClusterSetup) -> tuple[Valkey, Valkey]:
    """Let the replica of the owner take over by hand. Return the owners before and after that."""
    await asyncio.to_thread(cluster.wait_until_formed)  # else its replica is unknown, or cannot take over
    before = await asyncio.to_thread(owner, cluster)
    after = await asyncio.to_thread(cluster.replica_of, before)
    await asyncio.to_thread(cluster.command, after, "CLUSTER", "FAILOVER")
    for node in cluster.nodes:
        await owned_by(cluster, after, asked=node)
    return before, after


async def owned_by(cluster: ClusterSetup, node: Valkey, *, asked: Valkey | None = None) -> None:
    """Return when a node owns the queue's slot, as another says, by default itself."""

    def is_owner() -> bool:
        with suppress(RuntimeError):  # the node that is asked takes over data, or knows of no owner yet
            return cluster.owner(SLOT, asked=asked or node) is node
        return False

    while not await asyncio.to_thread(is_owner):  # noqa: ASYNC110 - polls a server
        await asyncio.sleep(0.02)


def empty(cluster: ClusterSetup) -> None:
    """Delete all keys of a cluster."""
    for node in cluster.nodes:
        try:
            cluster.command(node, "FLUSHALL")
        except RedisError as exc:
            if "READONLY" not in str(exc) and "read only" not in str(exc):
                raise


@dataclass(frozen=True, slots=True)
class Caller:
    """A producer of either kind, for a test in an event loop."""

    producer: Any

    async def __call__(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Return what a method of the producer returns; one of the synchronous producer runs in a thread."""
        return await self.of(self.producer, method, *arguments, **named)

    async def of(self, owned: Any, method: str, *arguments: Any, **named: Any) -> Any:
        """Return what a method of something that the producer has returned returns."""
        function = getattr(owned, method)
        if isinstance(self.producer, PlainProducer):
            return await asyncio.to_thread(function, *arguments, **named)
        return await function(*arguments, **named)

    @property
    def owner(self) -> Address | None:
        """The node that the producer takes for the owner."""
        pool: Any = self.producer._redis.connection_pool
        owner: SlotOwner = (pool if isinstance(self.producer, PlainProducer) else pool.current()).owner
        return owner.address

    @property
    def owner_port(self) -> int | None:
        """The port of that node."""
        return self.owner and self.owner[1]


@asynccontextmanager
async def calling(
    kind: str, dsn: str, settings: ProducerSettings = PATIENT, *, wait_s: float = 0.0
) -> AsyncIterator[Caller]:
    """Open a producer of a kind, for `WITHIN_S` at most; each test is for both."""
    async with asyncio.timeout(WITHIN_S):
        if kind == "synchronous":
            with PlainProducer.connect(dsn, settings, wait_s=wait_s) as plain:
                yield Caller(plain)
        else:
            async with Producer.connect(dsn, settings, wait_s=wait_s) as producer:
                yield Caller(producer)


def dsn_of(*nodes: Valkey) -> str:
    """Return the DSN that names some nodes."""
    return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"
