"""Enqueueing without await. See producers.client.enqueue for what the arguments mean and what the methods raise."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from redis import Redis

from producers.contract.ids import SortableIds
from producers.contract.messages import Priority, SettingsChange
from producers.contract.validation import check, check_new_id
from producers.queue.chunking import Intake, Source, lane_full, take_in
from producers.queue.fan_out import Named
from producers.queue.reports import EnqueueReport
from producers.queue.submit import ALREADY_THERE, LANE_FULL, Submission, Terms, submit
from producers.settings import ProducerSettings, change_ttl_ms
from producers.sync.job import Job
from producers.sync.performing import make, reaching_redis
from producers.sync.steering import Steering
from producers.transport.plan import Commands
from producers.transport.redis_clock import RedisClock


class Enqueuing(Steering):
    """The part of the producer that puts changes into lanes."""

    def __init__(self, redis: Redis, settings: ProducerSettings | None = None) -> None:
        """Wraps a client that the caller made (and that `close` closes)."""
        self._settings = settings or ProducerSettings()
        super().__init__(redis, life_ms=self._settings.result_ttl_ms)
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
        terms = Terms(self._settings.lane_limit, Priority(priority), coalesce)
        lasting_ms = self._ttl_ms(ttl_s)
        with reaching_redis(f"change {chosen} may or may not be accepted, repeat it with job_id={chosen!r}"):
            now_ms = self._now_ms()
            submission = Submission.of(change, chosen, terms, now_ms=now_ms, ttl_ms=lasting_ms)
            reply = make(self._redis, submit([submission], terms))
        self._clock.learn(reply[0])
        if reply[1] == LANE_FULL:
            raise lane_full(change, terms.lane_limit)
        return self._job(chosen, already_there=reply[1] == ALREADY_THERE)

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
        terms = Terms(self._settings.lane_limit, Priority(priority), coalesce)
        intake = self._intake(Named(self._ids.next, job_id), terms, ttl_s)
        with reaching_redis("the last chunk may or may not be accepted"):
            self._now_ms()
        landed = self._do(take_in(intake, changes), "the last chunk may or may not be accepted")
        intake.refused.sort(key=lambda refusal: refusal.index)
        return EnqueueReport([self._job(one, already_there=there) for one, there in landed], intake.refused)

    def _intake(self, source: Source, terms: Terms, ttl_s: float | None, *, fixed: bool = False) -> Intake:
        return Intake(source, terms, ttl_ms=self._ttl_ms(ttl_s), now_ms=self._clock.now_ms, fixed=fixed)

    def _now_ms(self) -> int:
        """The time on Redis's clock, Unix milliseconds; asked once, then kept fresh by every reply."""
        if not self._clock.known:
            ((seconds, micros),) = make(self._redis, Commands([("TIME",)]))
            self._clock.learn(seconds * 1000 + micros // 1000)
        return self._clock.now_ms()

    def _ttl_ms(self, ttl_s: float | None) -> int:
        return change_ttl_ms(self._settings.change_ttl_s if ttl_s is None else ttl_s)

    def _job(self, job_id: str, *, already_there: bool = False) -> Job:
        return Job(job_id, already_there, _redis=self._redis, _life_ms=self._life_ms)
