"""The keyspaces of a queue, each asked by itself, and the servers that hold them.

There is one server, or in a cluster the owners of the queue's slots: one that is away must not hide the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.transport.clients import follows_cluster, keyspace_of
from producers.transport.redis_errors import ErrorKind, error_kind
from producers.transport.shards import Shards

T = TypeVar("T")

HOME = "home"


class Keyspaces:
    """The keyspaces of a queue, as they are asked one after the other. One that does not answer is not asked again.

    Attributes:
        in_cluster: whether they are in a cluster.
        parts: their clients, by what they are: "shard 0", "home"; "" is the only one of a queue without shards.
        errors: why some did not answer, by the same names.
    """

    def __init__(self, clients: Shards[Redis]) -> None:
        self.in_cluster = follows_cluster(clients.home)
        self.parts: dict[str, Redis] = {"": clients.home}
        if len(clients.clients) > 1:
            shards = {f"shard {number}": client for number, client in enumerate(clients.clients)}
            self.parts = shards | {HOME: clients.home}
        self.errors: dict[str, RedisError] = {}

    async def ask(self, question: Callable[[Redis], Awaitable[T]], *names: str) -> dict[str, T]:
        """Return the answers of those that answer, by their names. In a cluster the errors of others are kept.

        Args:
            question: what to ask.
            names: which to ask; by default the shards.

        Raises:
            redis.exceptions.RedisError: the only server did not answer, or a refusal that would be the same everywhere.
        """
        answers: dict[str, T] = {}
        for name in names or [name for name in self.parts if name != HOME]:
            if name in self.errors:
                continue
            try:
                answers[name] = await question(self.parts[name])
            except RedisError as exc:
                if not self.in_cluster or error_kind(exc) is ErrorKind.REFUSED:
                    raise
                self.errors[name] = exc
        return answers

    def slot(self, name: str) -> tuple[str, int]:
        """Return the tag of a keyspace in a cluster, and its slot."""
        pool: Any = self.parts[name].connection_pool
        return keyspace_of(self.parts[name]).tag, pool.current().owner.slot


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


async def servers_of(keyspaces: Keyspaces) -> list[Server]:
    """Return the servers that hold the shards and the home, in this order, of those that answer.

    Raises:
        redis.exceptions.RedisError: as `Keyspaces.ask`.
    """
    if not keyspaces.in_cluster:
        return [Server("", next(iter(keyspaces.parts.values())))]
    found: dict[str, Server] = {}
    for name in await keyspaces.ask(_connect, *keyspaces.parts):
        redis = keyspaces.parts[name]
        pool: Any = redis.connection_pool
        address = ":".join(map(str, pool.current().owner.address or ("unknown",)))
        tag, slot = keyspaces.slot(name)
        found.setdefault(address, Server(address, redis)).slots[tag] = slot
    return list(found.values())


async def _connect(redis: Redis) -> None:
    await redis.ping()  # connecting finds the owner
