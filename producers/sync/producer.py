"""The producer without await. See producers.client.producer for what the arguments mean and what the methods raise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Self, overload

from redis import Redis

from producers.contract.messages import AutoCopy, CopySetting, Mode, Priority
from producers.contract.validation import check_batch_id, check_id
from producers.errors import QueueUnavailable
from producers.queue import batches
from producers.queue.chunking import submit_items
from producers.queue.fan_out import FanOut, FanOutReport, Preview, preview
from producers.queue.reports import BatchRefused
from producers.queue.submit import SubmitOptions
from producers.settings import ProducerSettings
from producers.sync.batch import Batch
from producers.sync.dead_letters import DeadLetters
from producers.sync.enqueuing import Enqueuing
from producers.sync.job import Job
from producers.transport.dsn import open_redis

OnChunk = Callable[[FanOutReport], None]


class Producer(Enqueuing):
    """Enqueues settings changes, hands out handles to them, and steers the queue. May be shared by threads.

    Use as a context manager, or close it; it connects at its first command.

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
        """A producer for a Redis; by default the one of `COPYTRADE_REDIS_DSN`."""
        settings = settings or ProducerSettings.from_env()
        wait_s = settings.redis_wait_s if wait_s is None else wait_s
        timeout_s = settings.redis_timeout_s
        client: Redis = open_redis(dsn or settings.redis_dsn, Redis, timeout_s=timeout_s, wait_s=wait_s)
        return cls(client, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; queued changes stay queued."""
        self._redis.close()

    @overload
    def fan_out(
        self,
        changes: Iterable[Any] | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: Iterable[Any] | None = None,
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
        changes: Iterable[Any] | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: Iterable[Any] | None = None,
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
        changes: Iterable[Any] | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: Iterable[Any] | None = None,
        auto_copy: AutoCopy | None = None,
        mode: Mode | None = None,
        batch_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.BULK,
        all_or_nothing: bool = False,
        dry_run: bool = False,
        on_chunk: OnChunk | None = None,
    ) -> Batch | Preview:
        """Enqueues a batch: the same settings for many users, or changes of their own."""
        asked = FanOut.from_arguments(
            changes, trader_id=trader_id, settings=settings, user_ids=user_ids, auto_copy=auto_copy, mode=mode
        )
        items: Iterable[Any] = asked.given
        if dry_run:
            return preview(asked, items)
        chosen = self._ids.next() if batch_id is None else check_batch_id(batch_id)
        options = SubmitOptions(self._settings.lane_limit, Priority(priority), batch_id=chosen, content=asked.content)
        chunked = self._chunked_submission(asked.parser(chosen), options, ttl_s, fixed=asked.template is None)
        if all_or_nothing:
            items = list(items)
            refused = preview(asked, items).refused
            if refused:
                raise BatchRefused(refused)

        def tell() -> None:
            if on_chunk is not None:
                on_chunk(FanOutReport.from_submission(chosen, chunked))

        try:
            self._do(batches.check_existing(chosen, options), f"beginning batch {chosen}")
            self._do(submit_items(chunked, items, tell), "the last chunk may or may not be accepted")
            sealing = batches.seal(
                chosen, options, lane_full_count=chunked.lane_full_count, result_ttl_ms=self._result_ttl_ms
            )
            self._do(sealing, f"sealing batch {chosen}")
        except QueueUnavailable as exc:
            raise QueueUnavailable(f"{exc}; repeat with batch_id={chosen!r} to add what is missing") from exc
        return self._batch(chosen, FanOutReport.from_submission(chosen, chunked))

    def job(self, job_id: str) -> Job:
        """A handle to a change by its ID; whether it exists shows when it is asked."""
        return self._job(check_id("job_id", job_id))

    def batch(self, batch_id: str) -> Batch:
        """A handle to a batch by its ID; whether it exists shows when it is asked."""
        return self._batch(check_batch_id(batch_id))

    def _batch(self, batch_id: str, report: FanOutReport | None = None) -> Batch:
        return Batch(batch_id, report, _redis=self._redis, _settings=self._settings)
