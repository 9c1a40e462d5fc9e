"""Enqueueing without await. See producers.client.enqueue for what the arguments mean and what the methods raise."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from redis import Redis

from producers.contract.ids import SortableIds
from producers.contract.messages import Priority, SettingsChange
from producers.contract.validation import check, check_new_id
from producers.queue.chunking import ChunkedSubmission, ItemParser, lane_full_error, submit_items
from producers.queue.fan_out import ChangeParser
from producers.queue.reports import EnqueueReport
from producers.queue.submit import Submission, SubmitOptions, SubmitVerdict, submit
from producers.settings import ProducerSettings, change_ttl_ms
from producers.sync.job import Job
from producers.sync.performing import execute
from producers.sync.steering import Steering
from producers.transport.plan import Transaction
from producers.transport.redis_clock import RedisClock
from producers.transport.runner import translate_errors


class Enqueuing(Steering):
    """The part of the producer that puts changes into lanes."""

    def __init__(self, redis: Redis, settings: ProducerSettings | None = None) -> None:
        """Wraps a client that the caller made (and that `close` closes)."""
        self._settings = settings or ProducerSettings()
        super().__init__(redis, result_ttl_ms=self._settings.result_ttl_ms)
        self._ids = SortableIds()
        self._clock = RedisClock()

    def enqueue(
        self,
        change: SettingsChange,
        *,
        job_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        coalesce: bool = False,
    ) -> Job:
        """Puts one change at the end of its lane."""
        check(change)
        chosen = self._ids.next() if job_id is None else check_new_id(job_id)
        options = SubmitOptions(self._settings.lane_limit, Priority(priority), coalesce)
        lasting_ms = self._ttl_ms(ttl_s)
        with translate_errors(f"change {chosen} may or may not be accepted, repeat it with job_id={chosen!r}"):
            now_ms = self._now_ms()
            submission = Submission.from_change(change, chosen, options, now_ms=now_ms, ttl_ms=lasting_ms)
            reply = execute(self._redis, submit([submission], options))
        self._clock.learn(reply[0])
        if reply[1] == SubmitVerdict.LANE_FULL:
            raise lane_full_error(change, options.lane_limit)
        return self._job(chosen, already_there=reply[1] == SubmitVerdict.ALREADY_THERE)

    def enqueue_many(
        self,
        changes: Iterable[SettingsChange],
        *,
        job_id: Callable[[SettingsChange], str] | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
        coalesce: bool = False,
    ) -> EnqueueReport[Job]:
        """Puts many changes at the ends of their lanes, in the order given; one round trip per 500."""
        options = SubmitOptions(self._settings.lane_limit, Priority(priority), coalesce)
        chunked = self._chunked_submission(ChangeParser(self._ids.next, job_id), options, ttl_s)
        with translate_errors("the last chunk may or may not be accepted"):
            self._now_ms()
        landed = self._do(submit_items(chunked, changes), "the last chunk may or may not be accepted")
        chunked.refused.sort(key=lambda refusal: refusal.index)
        return EnqueueReport([self._job(one, already_there=there) for one, there in landed], chunked.refused)

    def _chunked_submission(
        self, parser: ItemParser, options: SubmitOptions, ttl_s: float | None, *, fixed: bool = False
    ) -> ChunkedSubmission:
        return ChunkedSubmission(parser, options, ttl_ms=self._ttl_ms(ttl_s), now_ms=self._clock.now_ms, fixed=fixed)

    def _now_ms(self) -> int:
        """The time on Redis's clock, Unix milliseconds; asked once, then kept fresh by every reply."""
        if not self._clock.known:
            ((seconds, micros),) = execute(self._redis, Transaction([("TIME",)]))
            self._clock.learn(seconds * 1000 + micros // 1000)
        return self._clock.now_ms()

    def _ttl_ms(self, ttl_s: float | None) -> int:
        return change_ttl_ms(self._settings.change_ttl_s if ttl_s is None else ttl_s)

    def _job(self, job_id: str, *, already_there: bool = False) -> Job:
        return Job(job_id, already_there, _redis=self._redis, _result_ttl_ms=self._result_ttl_ms)
