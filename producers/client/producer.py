"""The producer: puts changes into the queue, one, many or a fan-out, and gives handles to what became of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Literal, Self, overload

from redis.asyncio import Redis

from producers.client.batch import Batch
from producers.client.dead_letters import DeadLetters
from producers.client.enqueue import Enqueuing
from producers.client.job import Job
from producers.contract.messages import AutoCopy, CopySetting, Mode, Priority
from producers.contract.validation import check_batch_id, check_id
from producers.errors import QueueUnavailable
from producers.queue import batches
from producers.queue.fan_out import FanOut, FanOutReport, Items, Preview, preview
from producers.queue.reports import BatchRefused
from producers.queue.submit import SubmitOptions
from producers.settings import ProducerSettings
from producers.transport.dsn import open_redis
from producers.transport.pipeline import CALLS_IN_FLIGHT, aiter_any

OnChunk = Callable[[FanOutReport], None]


class Producer(Enqueuing):
    """Enqueues settings changes, hands out handles to them, and steers the queue.

    Use as an async context manager, or close it; it connects at its first command.

    Attributes:
        dead: the dead letters.
    """

    def __init__(self, redis: Redis, settings: ProducerSettings | None = None) -> None:
        """Wraps a client that the caller made (and that `close` closes)."""
        super().__init__(redis, settings)
        self.dead = DeadLetters(redis, self._settings)

    @classmethod
    def connect(
        cls, dsn: str | None = None, settings: ProducerSettings | None = None, *, wait_s: float | None = None
    ) -> Self:
        """A producer for a Redis.

        Args:
            dsn: redis://, rediss://, unix:// or sentinel://; by default `COPYTRADE_REDIS_DSN`.
            settings: by default read from the environment.
            wait_s: how long each call waits for a Redis that is away, before it raises QueueUnavailable; by default
                `COPYTRADE_REDIS_WAIT_S`. What Redis may have done is repeated only where that changes nothing.

        Raises:
            SettingsError: the DSN or a variable cannot be used.
        """
        settings = settings or ProducerSettings.from_env()
        wait_s = settings.redis_wait_s if wait_s is None else wait_s
        timeout_s = settings.redis_timeout_s
        client: Redis = open_redis(dsn or settings.redis_dsn, Redis, timeout_s=timeout_s, wait_s=wait_s)
        return cls(client, settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections; queued changes stay queued."""
        await self._notifications.close()
        await self._redis.aclose()

    @overload
    async def fan_out(
        self,
        changes: Items | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: Items | None = None,
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
    async def fan_out(
        self,
        changes: Items | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: Items | None = None,
        auto_copy: AutoCopy | None = None,
        mode: Mode | None = None,
        batch_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.BULK,
        all_or_nothing: bool = False,
        dry_run: Literal[True],
        on_chunk: OnChunk | None = None,
    ) -> Preview: ...

    async def fan_out(
        self,
        changes: Items | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: Items | None = None,
        auto_copy: AutoCopy | None = None,
        mode: Mode | None = None,
        batch_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.BULK,
        all_or_nothing: bool = False,
        dry_run: bool = False,
        on_chunk: OnChunk | None = None,
    ) -> Batch | Preview:
        """Enqueues a batch: the same settings for many users, or changes of their own.

        Running the same again with its batch ID, after a failure, adds only what is missing. A template's users may
        then come in another order; `changes` must be the same in the same order.

        Args:
            changes: each its own change; instead of a template.
            trader_id: of the template.
            settings: of the template.
            user_ids: who gets the template. A user who is given twice counts as already there.
            auto_copy: of the template.
            mode: of the template.
            batch_id: names the batch; by default a new sortable ID.
            ttl_s: deadline of each change in seconds from now; by default `COPYTRADE_CHANGE_TTL_S`.
            priority: `bulk` lets interactive changes go first.
            all_or_nothing: refuses all if one item is bad, before anything is written. The items are held in memory.
            dry_run: writes nothing, and returns what would be sent.
            on_chunk: told of the account so far after every 500 items.

        Returns:
            The batch, whose `report` says which items were refused; with `dry_run` a Preview.

        Raises:
            InvalidChange: the template breaks a rule; nothing was written.
            InvalidId: the batch ID cannot be one; nothing was written.
            BatchRefused: `all_or_nothing`, and something was refused; nothing was written.
            BatchConflict: the batch exists with other content, or takes nothing more; what differs was not added.
            QueueUnavailable: Redis did not answer; repeat with the batch ID that the message names.
        """
        asked = FanOut.from_arguments(
            changes, trader_id=trader_id, settings=settings, user_ids=user_ids, auto_copy=auto_copy, mode=mode
        )
        if dry_run:
            return preview(asked, [item async for item in aiter_any(asked.items)])
        chosen = self._ids.next() if batch_id is None else check_batch_id(batch_id)
        options = SubmitOptions(self._settings.lane_limit, Priority(priority), batch_id=chosen, content=asked.content)
        chunked = self._chunked_submission(asked.parser(chosen), options, ttl_s, fixed=asked.template is None)
        items = asked.items
        if all_or_nothing:
            items = [item async for item in aiter_any(items)]
            refused = preview(asked, items).refused
            if refused:
                raise BatchRefused(refused)
        try:
            exists = await self._do(batches.check_existing(chosen, options), f"beginning batch {chosen}")
            # Where a run goes over what is there, each chunk must be known to agree before the next one is written.
            in_flight = 1 if exists else CALLS_IN_FLIGHT
            async with aclosing(self._submit_items(chunked, items, in_flight)) as chunks:
                async for _ in chunks:
                    if on_chunk is not None:
                        on_chunk(FanOutReport.from_submission(chosen, chunked))
            sealing = batches.seal(
                chosen, options, lane_full_count=chunked.lane_full_count, result_ttl_ms=self._result_ttl_ms
            )
            await self._do(sealing, f"sealing batch {chosen}")
        except QueueUnavailable as exc:
            raise QueueUnavailable(f"{exc}; repeat with batch_id={chosen!r} to add what is missing") from exc
        return self._batch(chosen, FanOutReport.from_submission(chosen, chunked))

    def job(self, job_id: str) -> Job:
        """A handle to a change by its ID; whether it exists shows when it is asked.

        Raises:
            InvalidId: this cannot be an ID.
        """
        return self._job(check_id("job_id", job_id))

    def batch(self, batch_id: str) -> Batch:
        """A handle to a batch by its ID; whether it exists shows when it is asked.

        Raises:
            InvalidId: this cannot be an ID.
        """
        return self._batch(check_batch_id(batch_id))

    def _batch(self, batch_id: str, report: FanOutReport | None = None) -> Batch:
        return Batch(
            batch_id,
            report,
            _redis=self._redis,
            _notifications=self._notifications,
            _settings=self._settings,
        )
