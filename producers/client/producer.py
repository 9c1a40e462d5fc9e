"""The producer: the entry point of the client. It enqueues changes and returns handles to them."""

from __future__ import annotations

from typing import Self

from redis.asyncio import Redis

from producers.client.admin import QueueAdmin
from producers.client.batch import Batch
from producers.client.dead_letters import DeadLetters
from producers.client.fan_outs import FanOuter
from producers.client.job import Job
from producers.client.shard import shards_of
from producers.contract.validation import check_batch_id, check_id
from producers.settings import ProducerSettings
from producers.transport.clients import check_client
from producers.transport.shards import Shards, open_shards


# Inheritance instead of delegation: forwarding methods would repeat each signature and docstring.
class Producer(FanOuter, QueueAdmin):
    """Enqueues settings changes, returns handles to them, and operates the queue.

    It connects at its first command. Use it as an async context manager, or call `close`.
    All tasks of an event loop can share one producer; event loops that run at the same time cannot.

    Example:
        async with Producer.connect("redis://localhost:6379/0") as producer:
            job = await producer.enqueue(change)
            result = await job.result(timeout=30)

    Attributes:
        dead: the dead letters.
    """

    _owns_redis = False

    def __init__(self, redis: Redis | Shards[Redis], settings: ProducerSettings | None = None) -> None:
        """Make a producer that uses an existing client.

        Args:
            redis: the client, or those of a queue with shards (`open_shards`). They belong to the caller: `close`
                leaves them open.
            settings: by default `ProducerSettings()`; the environment is not read.

        Raises:
            InvalidArgument: a producer cannot use the client. The message says what to pass instead.
        """
        settings = settings or ProducerSettings()
        clients = redis if isinstance(redis, Shards) else Shards.single(redis)
        for client in clients.all():
            check_client(client, Redis, settings.keyspace)
        shards = shards_of(clients.clients)
        FanOuter.__init__(self, shards, settings)
        QueueAdmin.__init__(self, clients.home, shards, settings)
        self.dead = DeadLetters(shards, settings)
        self._clients = clients

    @classmethod
    def connect(
        cls, dsn: str | None = None, settings: ProducerSettings | None = None, *, wait_s: float | None = None
    ) -> Self:
        """Return a producer with a client of its own, which `close` closes.

        Args:
            dsn: redis://, rediss://, unix://, sentinel:// or redis+cluster://; by default `COPYTRADE_REDIS_DSN`.
            settings: by default read from the environment.
            wait_s: how many seconds each call waits for a Redis that is unavailable, before it raises
                QueueUnavailable; by default `COPYTRADE_REDIS_WAIT_S`. A step that Redis may have executed is repeated
                only if it is idempotent.

        Raises:
            SettingsError: the DSN or a variable is invalid.
        """
        settings = settings or ProducerSettings.from_env()
        wait_s = settings.redis_wait_s if wait_s is None else wait_s
        clients: Shards[Redis] = open_shards(
            dsn or settings.redis_dsn,
            Redis,
            shards=settings.shards,
            timeout_s=settings.redis_timeout_s,
            wait_s=wait_s,
            max_connections=settings.redis_connections,
            keyspace=settings.keyspace,
        )
        producer = cls(clients, settings)
        producer._owns_redis = True
        return producer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening for results, and close the client if `connect` opened it. Queued changes stay queued."""
        for shard in self._shards:
            await shard.notifications.close()
        if self._owns_redis:
            for client in self._clients.all():
                await client.aclose()

    def job(self, job_id: str) -> Job:
        """Return a handle to a change by its ID, without asking Redis whether it exists.

        Raises:
            InvalidId: `job_id` is not a valid ID.
        """
        return self._job(check_id("job_id", job_id))

    def batch(self, batch_id: str) -> Batch:
        """Return a handle to a batch by its ID, without asking Redis whether it exists.

        Raises:
            InvalidId: `batch_id` is not a valid ID.
        """
        return self._batch(check_batch_id(batch_id))
