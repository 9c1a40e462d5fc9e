"""The clients of a queue: one for each of its shards, and one for its home."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from redis import Redis as SyncRedis
from redis.asyncio import Redis

from producers.contract.shards import shard_keyspaces, shard_of, shards_mark
from producers.errors import SettingsError
from producers.settings import MAX_SHARDS
from producers.transport.clients import keyspace_of
from producers.transport.dsn import keyspace_name, open_redis

Client = TypeVar("Client", bound="Redis | SyncRedis")


@dataclass(frozen=True, slots=True)
class Shards(Generic[Client]):
    """The clients of a queue.

    Attributes:
        home: the client of what concerns no user.
        clients: one for each shard, in order; of a queue without shards, the home's.
    """

    home: Client
    clients: tuple[Client, ...]

    @classmethod
    def single(cls, redis: Client) -> Shards[Client]:
        """Return the only client of a queue without shards, as they are."""
        return cls(redis, (redis,))

    def of(self, user_id: str) -> Client:
        """Return the client of the shard that holds a user."""
        return self.clients[shard_of(user_id, len(self.clients))]

    def all(self) -> Iterator[Client]:
        """Return each client once, to close it: the home's last."""
        yield from (client for client in self.clients if client is not self.home)
        yield self.home


def open_shards(dsn: str, client: type[Client], *, shards: int, keyspace: str | None, **options: Any) -> Shards[Client]:
    """Return clients for a queue with this number of shards; `options` are those of `open_redis`.

    Raises:
        SettingsError: see `open_redis`, or the number is out of bounds.
    """
    home = open_redis(dsn, client, keyspace=keyspace, **options)
    if shards == 1:
        return Shards.single(home)
    if not 1 < shards <= MAX_SHARDS:
        raise SettingsError(f"COPYTRADE_SHARDS: must be from 1 to {MAX_SHARDS}; got {shards}")
    keyspace_of(home).mark = shards_mark(shards)
    names = shard_keyspaces(keyspace_name(keyspace), shards)
    opened = Shards(home, tuple(open_redis(dsn, client, keyspace=keys, **options) for keys in names))
    for one in opened.all():
        pool: Any = one.connection_pool
        pool.shards = opened
    return opened
