"""The servers that hold a queue: one, or in a cluster the owners of its slots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from producers.transport.clients import follows_cluster, keyspace_of
from producers.transport.shards import Shards


@dataclass(frozen=True, slots=True)
class Server:
    """A server with a part of the queue, or all of it.

    Attributes:
        address: its host and port; "" if it is in no cluster.
        redis: a client of it.
        slots: in a cluster, the tags of the keyspaces that it holds, each with its slot.
    """

    address: str
    redis: Redis
    slots: dict[str, int] = field(default_factory=dict)


async def servers_of(clients: Shards[Redis]) -> list[Server]:
    """Return the servers that hold the shards and the home, in this order.

    Raises:
        redis.exceptions.RedisError: one of them did not answer.
    """
    if not follows_cluster(clients.home):
        return [Server("", clients.clients[0])]
    found: dict[str, Server] = {}
    for client in clients.all():
        await client.ping()  # connecting finds the owner
        pool: Any = client.connection_pool
        owner = pool.current().owner
        address = ":".join(map(str, owner.address or ("unknown",)))
        server = found.setdefault(address, Server(address, client))
        server.slots[keyspace_of(client).tag] = owner.slot
    return list(found.values())
