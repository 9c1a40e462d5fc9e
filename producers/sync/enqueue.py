# Generated from producers/client/enqueue.py by `python -m ops.unasync`: change that file, not this one.
"""Enqueueing changes without a batch: one, or many in order. Fan-outs submit their chunks with the same methods."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from producers.contract.ids import SortableIds
from producers.contract.messages import Priority, SettingsChange
from producers.contract.shards import shard_of
from producers.contract.validation import (
    check_change,
    check_flag,
    check_new_batch_id,
    check_new_id,
    check_priority,
)
from producers.errors import QueueFull
from producers.queue.batches import APPENDED
from producers.queue.chunking import (
    CONFLICTS,
    Accepted,
    ChunkedSubmission,
    EnqueueReport,
    ItemParser,
    change_parser,
    conflict_error,
    refusal_error,
)
from producers.queue.fan_out import FanOut, FanOutReport, member_job_id
from producers.queue.submit import Submission, SubmitOptions, submit
from producers.queue.submit_messages import SubmitVerdict
from producers.settings import ProducerSettings, change_ttl_ms
from producers.sync.batch import Batch
from producers.sync.job import Job
from producers.sync.shard import Shard
from producers.sync.submission import DOUBT, in_given_order, log_accepted, now_ms_of, submit_steps
from producers.sync.transport import MAX_IN_FLIGHT, AnyIterable, execute, iter_any, pipelined, translate_errors
from producers.tracing import open_tracing


class Enqueuer:
    """The methods of `Producer` that enqueue changes."""

    def __init__(self, shards: Sequence[Shard], settings: ProducerSettings) -> None:
        self._shards = shards
        self._settings = settings
        self._ids = SortableIds()
        self._tracing = open_tracing(settings)

    def enqueue(
        self,
        change: SettingsChange,
        *,
        job_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        coalesce: bool = False,
        batch_id: str | None = None,
    ) -> Job:
        """Append one change to its lane.

        Example:
            job = producer.enqueue(change, job_id="order-7")
            result = job.result(timeout=30)

        Args:
            change: the change.
            job_id: the change's ID and idempotency key: enqueueing the same ID again adds nothing, and the returned
                job is `already_there`. Once its result has expired, the ID stands for a new change. By default a new ID
                that sorts by time.
            ttl_s: seconds from now after which the change ends `expired`; by default `COPYTRADE_CHANGE_TTL_S`.
            priority: `interactive` sends the whole lane before lanes that are `bulk`.
            coalesce: True allows sending the change in one request with the changes before it in its lane, if ten
                settings hold them all: of settings with equal symbol and product type the newest is sent. Each change
                still gets its own result.
            batch_id: a batch to add the change to; its ID is `<batch>..<job_id>` then. The batch begins with its first
                change, and is complete when `Batch.seal` has closed it and all of its changes have ended.

        Raises:
            InvalidChange: the change breaks a rule; nothing was written.
            InvalidArgument: `ttl_s` is not above 0, or is more than ten years; nothing was written.
            InvalidId: `job_id` is not a valid ID, or is that of another arq app's job; nothing was written.
            BatchConflict: the batch is a fan-out's, is sealed or was cancelled; nothing was written.
            ChangeConflict: `job_id` was accepted before, for a change of other content; nothing was written.
            LaneFull: the lane holds `COPYTRADE_LANE_LIMIT` changes; nothing was written.
            QueueFull: Redis's memory is almost full; nothing was written.
            QueueUnavailable: Redis did not answer; repeat with the job ID in the message.
        """
        check_change(change)
        shard = self._shards[shard_of(change.user_id, len(self._shards))]
        own_id = job_id = self._ids.next() if job_id is None else check_new_id(job_id)
        options = self._submit_options(priority, coalesce=coalesce)
        if batch_id is not None:
            job_id = member_job_id(check_new_batch_id(batch_id), own_id)
            options = replace(options, batch_id=batch_id, content=APPENDED)
        ttl_ms = self._ttl_ms(ttl_s)
        doubt = f"change {job_id} may or may not be accepted, repeat it with job_id={own_id!r}"
        with self._tracing.send(job_id, change.user_id, options.batch_id) as trace:
            with translate_errors(doubt, if_refused=lambda: f"change {job_id} was not accepted", is_alone=True):
                submission = Submission.from_change(
                    change, job_id, options, now_ms=now_ms_of(shard), ttl_ms=ttl_ms, traceparent=trace
                )
                redis_now_ms, verdict = execute(shard.redis, submit([submission], options))
            shard.clock.update(redis_now_ms)
            if batch_id is not None and verdict in CONFLICTS:
                raise conflict_error(batch_id, SubmitVerdict(verdict))
            error = refusal_error(verdict, submission, options)
            if error is not None:
                raise error
        existed = verdict == SubmitVerdict.ALREADY_THERE
        log_accepted([(0, job_id, existed, shard.number)])
        return self._job(job_id, already_there=existed, shard=shard)

    def enqueue_many(
        self,
        changes: AnyIterable[SettingsChange],
        *,
        job_id: Callable[[SettingsChange], str] | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        coalesce: bool = False,
    ) -> EnqueueReport[Job]:
        """Append many changes to their lanes, in the given order; one round trip for each 250.

        A change that breaks a rule, or whose lane is full, or whose ID is that of another arq app's job, is reported in
        `refused`; the others are enqueued.

        Args:
            changes: an iterable; it is not held in memory.
            job_id: returns the ID of a change, such as `lambda change: f"july-{change.user_id}"`. Enqueueing the same
                changes again then adds only what is missing. By default new IDs that sort by time.
            ttl_s: as for `enqueue`.
            priority: as for `enqueue`.
            coalesce: as for `enqueue`.

        Returns:
            The jobs of the accepted changes, and the refused changes with their errors, both in the given order.

        Raises:
            InvalidArgument: `ttl_s` is not above 0, or is more than ten years; nothing was written.
            QueueFull: Redis's memory is almost full; its `jobs` are the changes that were accepted, and no others were.
            QueueUnavailable: Redis did not answer; the last chunks may or may not be accepted. With your own job IDs
                it is safe to repeat.
        """
        options = self._submit_options(priority, coalesce=coalesce)
        chunked = self._chunked_submission(change_parser(self._ids.next, job_id), options, ttl_s)
        jobs: list[tuple[int, Job]] = []
        try:
            with closing(self._submit_chunks(chunked, iter_any(changes))) as chunks:
                for accepted in chunks:
                    jobs += [
                        (place, self._job(accepted_id, already_there=existed, shard=self._shards[number]))
                        for place, accepted_id, existed, number in accepted
                    ]
        except QueueFull as exc:
            exc.jobs = in_given_order(jobs)
            raise
        chunked.refused.sort(key=lambda refusal: refusal.index)
        return EnqueueReport(in_given_order(jobs), chunked.refused)

    def _submit_options(
        self, priority: Priority, *, coalesce: bool = False, batch_id: str = "", content: str = ""
    ) -> SubmitOptions:
        settings = self._settings
        return SubmitOptions(
            settings.lane_limit,
            check_priority(priority),
            check_flag("coalesce", coalesce),
            batch_id,
            content,
            settings.redis_full_percent,
        )

    def _chunked_submission(
        self,
        parser: ItemParser,
        options: SubmitOptions,
        ttl_s: float | None,
        *,
        fan_out: FanOut | None = None,
    ) -> ChunkedSubmission:
        template = None if fan_out is None else fan_out.template
        hashed = fan_out is not None and template is None
        shards = self._shards
        return ChunkedSubmission(
            parser,
            options,
            ttl_ms=self._ttl_ms(ttl_s),
            now_ms=lambda number: shards[number].clock.now_ms(),
            hashed=hashed,
            template=template,
            shards=len(shards),
        )

    def _submit_chunks(
        self, chunked: ChunkedSubmission, items: Iterator[Any], in_flight: int = MAX_IN_FLIGHT
    ) -> Generator[list[Accepted], None]:
        """Submit items, those of a shard in their order. Yield the accepted changes of each chunk.

        Raises:
            BatchConflict: the batch accepted nothing of a chunk.
            QueueFull: Redis's memory is almost full; the last chunks were not accepted.
            QueueUnavailable: Redis did not answer; the last chunks may or may not be accepted.
        """
        batch_id, tracing = chunked.options.batch_id, self._tracing
        sending = tracing.send_batch(batch_id, lambda: chunked.item_count) if batch_id else tracing.send_many()
        with sending as chunked.sending, translate_errors(DOUBT, if_refused=chunked.describe_accepted):
            clients = [shard.redis for shard in self._shards]
            steps = submit_steps(self._shards, chunked, items)
            with closing(pipelined(clients, steps, in_flight=in_flight)) as replies:
                for chunk, reply in replies:
                    self._shards[chunk.shard].clock.update(reply[0])
                    accepted = chunked.apply_reply(chunk, reply)
                    log_accepted(accepted)
                    yield accepted

    def _ttl_ms(self, ttl_s: float | None) -> int:
        return change_ttl_ms(self._settings.change_ttl_s if ttl_s is None else ttl_s)

    def _job(self, job_id: str, *, already_there: bool = False, shard: Shard | None = None) -> Job:
        shards = self._shards if shard is None else (shard,)
        return Job(job_id, already_there, _shards=shards, _settings=self._settings)

    def _batch(self, batch_id: str, report: FanOutReport | None = None) -> Batch:
        return Batch(batch_id, report, _shards=self._shards, _settings=self._settings)
