# Generated from producers/client/producer.py by `python -m ops.unasync`: change that file, not this one.
"""The producer: the entry point of the client. It enqueues changes and returns handles to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Literal, Self, overload

from redis import Redis

from producers.contract.messages import AutoCopy, CopySetting, Mode, Priority
from producers.contract.validation import check_batch_id, check_id, check_new_batch_id
from producers.errors import BatchRefused, QueueUnavailable
from producers.queue import batches
from producers.queue.fan_out import FanOut, FanOutReport, Preview, preview, refuse_full_lanes
from producers.settings import ProducerSettings
from producers.sync.admin import QueueAdmin
from producers.sync.batch import Batch
from producers.sync.dead_letters import DeadLetters
from producers.sync.enqueue import Enqueuer
from producers.sync.job import Job
from producers.sync.transport import MAX_IN_FLIGHT, AnyIterable, iter_any, run_plan
from producers.transport.clients import check_client
from producers.transport.dsn import open_redis

OnChunk = Callable[[FanOutReport], None]


# Inheritance instead of delegation: forwarding methods would repeat each signature and docstring.
class Producer(Enqueuer, QueueAdmin):
    """Enqueues settings changes, returns handles to them, and operates the queue.

    It connects at its first command. Use it as a context manager, or call `close`.
    Threads can share one producer.

    Example:
        with Producer.connect("redis://localhost:6379/0") as producer:
            job = producer.enqueue(change)
            result = job.result(timeout=30)

    Attributes:
        dead: the dead letters.
    """

    _owns_redis = False

    def __init__(self, redis: Redis, settings: ProducerSettings | None = None) -> None:
        """Make a producer that uses an existing client.

        Args:
            redis: the client. It belongs to the caller: `close` leaves it open.
            settings: by default `ProducerSettings()`; the environment is not read.

        Raises:
            InvalidArgument: a producer cannot use the client. The message says what to pass instead.
        """
        settings = settings or ProducerSettings()
        check_client(redis, Redis, settings.keyspace)
        Enqueuer.__init__(self, redis, settings)
        QueueAdmin.__init__(self, redis, settings)
        self.dead = DeadLetters(redis, settings)

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
        redis: Redis = open_redis(
            dsn or settings.redis_dsn,
            Redis,
            timeout_s=settings.redis_timeout_s,
            wait_s=wait_s,
            max_connections=settings.redis_connections,
            keyspace=settings.keyspace,
        )
        producer = cls(redis, settings)
        producer._owns_redis = True
        return producer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening for results, and close the client if `connect` opened it. Queued changes stay queued."""
        self._notifications.close()
        if self._owns_redis:
            self._redis.close()

    @overload
    def fan_out(
        self,
        changes: AnyIterable[Any] | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: AnyIterable[Any] | None = None,
        auto_copy: AutoCopy | None = None,
        mode: Mode | None = None,
        batch_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.BULK,
        all_or_nothing: bool = False,
        dry_run: Literal[False] = False,
        on_chunk: OnChunk | None = None,
    ) -> Batch: ...

    @overload
    def fan_out(
        self,
        changes: AnyIterable[Any] | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: AnyIterable[Any] | None = None,
        auto_copy: AutoCopy | None = None,
        mode: Mode | None = None,
        batch_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.BULK,
        all_or_nothing: bool = False,
        dry_run: Literal[True],
        on_chunk: OnChunk | None = None,
    ) -> Preview: ...

    def fan_out(
        self,
        changes: AnyIterable[Any] | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: AnyIterable[Any] | None = None,
        auto_copy: AutoCopy | None = None,
        mode: Mode | None = None,
        batch_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.BULK,
        all_or_nothing: bool = False,
        dry_run: bool = False,
        on_chunk: OnChunk | None = None,
    ) -> Batch | Preview:
        """Enqueue a batch: the same settings for many users, or many different changes.

        Running the same fan-out again with its `batch_id`, for example after a failure, adds only what is missing.
        `user_ids` may then be in another order; `changes` must be equal and in the same order.

        Example:
            batch = producer.fan_out(
                trader_id="4728317", settings=[setting], user_ids=follower_ids, batch_id="july"
            )
            progress = batch.wait()

        Args:
            changes: the changes, instead of `trader_id`, `settings` and `user_ids`.
            trader_id: the trader of every change.
            settings: the settings of every change, one to ten.
            user_ids: the users, one change each. A user that occurs twice counts as already there.
            auto_copy: the same field of every change.
            mode: the same field of every change.
            batch_id: the batch's ID; by default a new one that sorts by time.
            ttl_s: seconds from now after which a change ends `expired`; by default `COPYTRADE_CHANGE_TTL_S`.
            priority: `bulk` sends lanes with interactive changes first.
            all_or_nothing: True enqueues nothing if one item is invalid, or if the batch is new and a lane is full now.
                Holds all items.
            dry_run: True writes nothing, and returns what would be enqueued.
            on_chunk: called with the report so far after each chunk of up to 250 items.

        Returns:
            The batch; its `report` counts the accepted items and lists the refused ones. With `dry_run`, a Preview.

        Raises:
            InvalidChange: the settings for all users break a rule; nothing was written.
            InvalidArgument: `ttl_s` is out of bounds, or `user_ids` is a single ID; nothing was written.
            InvalidId: `batch_id` is not a valid ID; nothing was written.
            BatchRefused: `all_or_nothing`, and an item is invalid or its lane is full; nothing was written.
            BatchConflict: the batch has other content, was cancelled, or is sealed and this would add to it; the
                message says whether changes were added before that.
            QueueFull: Redis's memory is almost full; the message says how many changes were accepted before.
            QueueUnavailable: Redis did not answer; repeat with the batch ID in the message.
        """
        fan_out = FanOut.from_arguments(
            changes, trader_id=trader_id, settings=settings, user_ids=user_ids, auto_copy=auto_copy, mode=mode
        )
        items = iter_any(fan_out.items)
        batch_id = self._ids.next() if batch_id is None else check_new_batch_id(batch_id)
        options = self._submit_options(priority, batch_id=batch_id, content=fan_out.content)
        chunked = self._chunked_submission(fan_out.parser(batch_id), options, ttl_s, fan_out=fan_out)
        if dry_run:
            return preview(fan_out, [item for item in items])
        if all_or_nothing:
            collected = [item for item in items]
            checked = preview(fan_out, collected)
            if checked.refused:
                raise BatchRefused(checked.refused)
            items = iter_any(collected)
        try:
            check = batches.check_existing(self._keys, batch_id, options)
            exists = run_plan(self._redis, check, f"looking for batch {batch_id}")
            if all_or_nothing and not exists:
                full = refuse_full_lanes(self._keys, checked.changes, options)
                if refused := run_plan(self._redis, full, "looking for full lanes"):
                    raise BatchRefused(refused)
            # A repeated fan-out waits for each reply: a chunk is written only if those before it had the same content.
            in_flight = 1 if exists else MAX_IN_FLIGHT
            with closing(self._submit_chunks(chunked, items, in_flight)) as chunks:
                for _ in chunks:
                    if on_chunk is not None:
                        on_chunk(FanOutReport.from_submission(batch_id, chunked))
            seal = batches.seal(
                batch_id,
                options,
                lane_full_count=chunked.lane_full_count,
                result_ttl_ms=self._settings.result_ttl_ms,
            )
            run_plan(self._redis, seal, f"sealing batch {batch_id}")
        except QueueUnavailable as exc:
            raise type(exc)(f"{exc}; repeat with batch_id={batch_id!r} to add what is missing") from exc
        return self._batch(batch_id, FanOutReport.from_submission(batch_id, chunked))

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
