"""Enqueueing: one change, or many in order, into their lanes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Any

from redis.asyncio import Redis

from producers.client.admin import Steering
from producers.client.job import Job
from producers.contract.ids import SortableIds
from producers.contract.messages import Priority, SettingsChange
from producers.contract.validation import check, check_new_id
from producers.queue.chunking import Chunk, ChunkedSubmission, ItemParser, lane_full_error
from producers.queue.fan_out import ChangeParser
from producers.queue.reports import EnqueueReport
from producers.queue.submit import Submission, SubmitOptions, SubmitVerdict, submit
from producers.settings import ProducerSettings, change_ttl_ms
from producers.transport.notifications import NotificationListener
from producers.transport.pipeline import CALLS_IN_FLIGHT, aiter_any, pipelined
from producers.transport.plan import RunScript, Transaction
from producers.transport.redis_clock import RedisClock
from producers.transport.runner import execute, translate_errors

Changes = Iterable[SettingsChange] | AsyncIterable[SettingsChange]


class Enqueuing(Steering):
    """The part of the producer that puts changes into lanes."""

    def __init__(self, redis: Redis, settings: ProducerSettings | None = None) -> None:
        """Wraps a client that the caller made (and that `close` closes)."""
        self._settings = settings or ProducerSettings()
        super().__init__(redis, result_ttl_ms=self._settings.result_ttl_ms)
        self._notifications = NotificationListener(redis)
        self._ids = SortableIds()
        self._clock = RedisClock()

    async def enqueue(
        self,
        change: SettingsChange,
        *,
        job_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        coalesce: bool = False,
    ) -> Job:
        """Puts one change at the end of its lane.

        Args:
            change: the change.
            job_id: the change's ID, also its idempotency key: the same ID again adds nothing, and the handle says
                `already_there`. By default a new sortable ID.
            ttl_s: deadline of the change in seconds from now; by default `COPYTRADE_CHANGE_TTL_S`.
            priority: `interactive` moves its whole lane before those that are `bulk`.
            coalesce: lets it be sent in one request with the changes before it, as far as ten settings hold them: a
                setting of the same (symbol, productType) replaces the older one. Each still gets its own result.

        Raises:
            InvalidChange: it breaks a rule; nothing was written.
            InvalidId: the job ID cannot be one; nothing was written.
            LaneFull: its lane holds `COPYTRADE_LANE_LIMIT` changes; nothing was written.
            QueueUnavailable: Redis did not answer; repeat with the ID that the message names.
        """
        check(change)
        chosen = self._ids.next() if job_id is None else check_new_id(job_id)
        options = SubmitOptions(self._settings.lane_limit, Priority(priority), coalesce)
        lasting_ms = self._ttl_ms(ttl_s)
        with translate_errors(f"change {chosen} may or may not be accepted, repeat it with job_id={chosen!r}"):
            now_ms = await self._now_ms()
            call = submit([Submission.from_change(change, chosen, options, now_ms=now_ms, ttl_ms=lasting_ms)], options)
            reply = await execute(self._redis, call)
        self._clock.learn(reply[0])
        if reply[1] == SubmitVerdict.LANE_FULL:
            raise lane_full_error(change, options.lane_limit)
        return self._job(chosen, already_there=reply[1] == SubmitVerdict.ALREADY_THERE)

    async def enqueue_many(
        self,
        changes: Changes,
        *,
        job_id: Callable[[SettingsChange], str] | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        coalesce: bool = False,
    ) -> EnqueueReport[Job]:
        """Puts many changes at the ends of their lanes, in the order given; one round trip per 500.

        A change that breaks a rule, or whose lane is full, is reported and does not stop the others.

        Args:
            changes: any iterable or async iterable; it is not held in memory.
            job_id: gives each change its ID, so that running the same again adds only what is missing; such as
                `lambda change: f"july-{change.user_id}"`. By default new sortable IDs.
            ttl_s: deadline of each change in seconds from now.
            priority: as for `enqueue`.
            coalesce: as for `enqueue`.

        Raises:
            QueueUnavailable: Redis did not answer; the last chunks may or may not be accepted. With IDs of your own it
                is safe to repeat.
        """
        options = SubmitOptions(self._settings.lane_limit, Priority(priority), coalesce)
        chunked = self._chunked_submission(ChangeParser(self._ids.next, job_id), options, ttl_s)
        report: EnqueueReport[Job] = EnqueueReport(refused=chunked.refused)
        async with aclosing(self._submit_items(chunked, changes)) as chunks:
            async for landed in chunks:
                report.jobs += [self._job(one, already_there=there) for one, there in landed]
        chunked.refused.sort(key=lambda refusal: refusal.index)
        return report

    def _chunked_submission(
        self, parser: ItemParser, options: SubmitOptions, ttl_s: float | None, *, fixed: bool = False
    ) -> ChunkedSubmission:
        return ChunkedSubmission(parser, options, ttl_ms=self._ttl_ms(ttl_s), now_ms=self._clock.now_ms, fixed=fixed)

    async def _submit_items(
        self, chunked: ChunkedSubmission, items: Iterable[Any] | AsyncIterable[Any], in_flight: int = CALLS_IN_FLIGHT
    ) -> AsyncGenerator[list[tuple[str, bool]], None]:
        """Submits items in their order; gives for each chunk which job IDs are in their lanes, and which were before.

        Raises:
            BatchConflict: the batch took nothing of a chunk.
            QueueUnavailable: Redis did not answer; the last chunks may or may not be accepted.
        """
        with translate_errors("the last chunks may or may not be accepted"):
            await self._now_ms()
            calls = _calls(chunked, items)
            async with aclosing(pipelined(self._redis, calls, in_flight=in_flight)) as replies:
                async for chunk, reply in replies:
                    self._clock.learn(reply[0])
                    yield chunked.apply_reply(chunk, reply)

    async def _now_ms(self) -> int:
        """The time on Redis's clock, Unix milliseconds; asked once, then kept fresh by every reply."""
        if not self._clock.known:
            ((seconds, micros),) = await execute(self._redis, Transaction([("TIME",)]))
            self._clock.learn(seconds * 1000 + micros // 1000)
        return self._clock.now_ms()

    def _ttl_ms(self, ttl_s: float | None) -> int:
        return change_ttl_ms(self._settings.change_ttl_s if ttl_s is None else ttl_s)

    def _job(self, job_id: str, *, already_there: bool = False) -> Job:
        return Job(
            job_id,
            already_there,
            _redis=self._redis,
            _notifications=self._notifications,
            _result_ttl_ms=self._result_ttl_ms,
        )


async def _calls(
    chunked: ChunkedSubmission, items: Iterable[Any] | AsyncIterable[Any]
) -> AsyncIterator[tuple[Chunk, RunScript]]:
    """The items' chunks, each with the call that submits it."""
    async for item in aiter_any(items):
        chunk = chunked.add(item)
        if chunk is not None:
            yield chunk, chunked.step(chunk)
    chunk = chunked.flush()
    if chunk is not None:
        yield chunk, chunked.step(chunk)
