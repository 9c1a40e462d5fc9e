"""The producer: accepts changes into their lanes, and gives handles to what became of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers.bulk import CHUNK, Chunk, each, submit_in_order
from producers.connection import open_redis
from producers.contract import SettingsChange
from producers.errors import InvalidChange, InvalidId, LaneFull, ProducerError, QueueUnavailable
from producers.ids import SortableIds
from producers.jobs import Job
from producers.listening import Listener
from producers.rules import check, check_id
from producers.settings import ProducerSettings
from producers.submission import ALREADY_THERE, LANE_FULL, SUBMIT, SUBMIT_KEYS, Submission, arguments

LONGEST_TTL_S = 315_360_000

Changes = Iterable[SettingsChange] | AsyncIterable[SettingsChange]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change of `enqueue_many` that was not accepted.

    Attributes:
        index: its place in the iterable, from 0.
        error: InvalidChange, InvalidId or LaneFull.
    """

    index: int
    error: ProducerError


@dataclass(slots=True)
class EnqueueReport:
    """What became of the changes of `enqueue_many`.

    Attributes:
        jobs: handles to those that are in their lanes, in the order given.
        refused: those that are not, and why.
    """

    jobs: list[Job] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


class Producer:
    """Enqueues settings changes and hands out handles to them.

    Use as an async context manager, or close it; it connects at its first command.
    """

    def __init__(self, redis: Redis, settings: ProducerSettings | None = None) -> None:
        """Wraps a client that the caller made (and that `close` closes)."""
        self._redis = redis
        self._settings = settings or ProducerSettings()
        self._listener = Listener(redis)
        self._ids = SortableIds()
        self._clock_offset_ms: int | None = None

    @classmethod
    def connect(cls, dsn: str | None = None, settings: ProducerSettings | None = None) -> Self:
        """A producer for a Redis.

        Args:
            dsn: redis://, rediss://, unix:// or sentinel://; by default `COPYTRADE_REDIS_DSN`.
            settings: by default read from the environment.

        Raises:
            SettingsError: the DSN or a variable cannot be used.
        """
        settings = settings or ProducerSettings.from_env()
        client: Redis = open_redis(dsn or settings.redis_dsn, Redis, timeout_s=settings.redis_timeout_s)
        return cls(client, settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections; queued changes stay queued."""
        await self._listener.close()
        await self._redis.aclose()

    async def enqueue(self, change: SettingsChange, *, job_id: str | None = None, ttl_s: float | None = None) -> Job:
        """Puts one change at the end of its lane.

        Args:
            change: the change.
            job_id: the change's ID, also its idempotency key: the same ID again adds nothing, and the handle says
                `already_there`. By default a new sortable ID.
            ttl_s: deadline of the change in seconds from now; by default `COPYTRADE_CHANGE_TTL_S`.

        Raises:
            InvalidChange: it breaks a rule; nothing was written.
            InvalidId: the job ID cannot be one; nothing was written.
            LaneFull: its lane holds `COPYTRADE_LANE_LIMIT` changes; nothing was written.
            QueueUnavailable: Redis did not answer; repeat with the ID that the message names.
        """
        check(change)
        chosen = self._ids.next() if job_id is None else check_id("job_id", job_id)
        async with _reaching_redis(f"change {chosen} may or may not be accepted, repeat it with job_id={chosen!r}"):
            submission = Submission.of(change, chosen, now_ms=await self._now_ms(), ttl_ms=self._ttl_ms(ttl_s))
            reply = await SUBMIT.run(self._redis, SUBMIT_KEYS, arguments([submission], self._settings.lane_limit))
        self._learn_clock(reply[0])
        if reply[1] == LANE_FULL:
            raise self._lane_full(change)
        return self._handle(chosen, already_there=reply[1] == ALREADY_THERE)

    async def enqueue_many(
        self, changes: Changes, *, job_id: Callable[[SettingsChange], str] | None = None, ttl_s: float | None = None
    ) -> EnqueueReport:
        """Puts many changes at the ends of their lanes, in the order given; one round trip per 500.

        A change that breaks a rule, or whose lane is full, is reported and does not stop the others.

        Args:
            changes: any iterable or async iterable; it is not held in memory.
            job_id: gives each change its ID, so that running the same again adds only what is missing; such as
                `lambda change: f"july-{change.user_id}"`. By default new sortable IDs.
            ttl_s: deadline of each change in seconds from now.

        Raises:
            QueueUnavailable: Redis did not answer; the last chunks may or may not be accepted. With IDs of your own it
                is safe to repeat.
        """
        report = EnqueueReport()
        chunks = self._chunks(changes, report, job_id, self._ttl_ms(ttl_s))
        async with _reaching_redis("the last chunks may or may not be accepted"):
            await self._now_ms()
            async with aclosing(submit_in_order(self._redis, chunks, self._settings.lane_limit)) as replies:
                async for chunk, reply in replies:
                    self._record(chunk, reply, report)
        report.refused.sort(key=lambda refusal: refusal.index)
        return report

    def job(self, job_id: str) -> Job:
        """A handle to a change by its ID; whether it exists shows when it is asked.

        Raises:
            InvalidId: this cannot be an ID.
        """
        return self._handle(check_id("job_id", job_id))

    async def _chunks(
        self, changes: Changes, report: EnqueueReport, name: Callable[[SettingsChange], str] | None, ttl_ms: int
    ) -> AsyncIterator[Chunk[tuple[int, SettingsChange]]]:
        """Submissions of the sound changes, with each its index and change; the others are reported."""
        chunk: Chunk[tuple[int, SettingsChange]] = []
        index = 0
        async for change in each(changes):
            try:
                check(change)
                job_id = self._ids.next() if name is None else check_id("job_id", name(change))
            except (InvalidChange, InvalidId) as exc:
                report.refused.append(Refusal(index, exc))
            else:
                submission = Submission.of(change, job_id, now_ms=self._known_now_ms(), ttl_ms=ttl_ms)
                chunk.append(((index, change), submission))
                if len(chunk) == CHUNK:
                    yield chunk
                    chunk = []
            index += 1
        if chunk:
            yield chunk

    def _record(self, chunk: Chunk[tuple[int, SettingsChange]], reply: list[int], report: EnqueueReport) -> None:
        self._learn_clock(reply[0])
        for ((index, change), submission), verdict in zip(chunk, reply[1:], strict=True):
            if verdict == LANE_FULL:
                report.refused.append(Refusal(index, self._lane_full(change)))
            else:
                report.jobs.append(self._handle(submission.job_id, already_there=verdict == ALREADY_THERE))

    async def _now_ms(self) -> int:
        """The time on Redis's clock, Unix milliseconds; asked once, then kept fresh by every reply."""
        if self._clock_offset_ms is None:
            seconds, micros = await self._redis.time()
            self._learn_clock(seconds * 1000 + micros // 1000)
        return self._known_now_ms()

    def _known_now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + (self._clock_offset_ms or 0)

    def _learn_clock(self, redis_now_ms: int) -> None:
        self._clock_offset_ms = redis_now_ms - time.time_ns() // 1_000_000

    def _ttl_ms(self, ttl_s: float | None) -> int:
        seconds = self._settings.change_ttl_s if ttl_s is None else ttl_s
        if not 0 < seconds <= LONGEST_TTL_S:
            raise InvalidChange("ttl_s", f"must be above 0 and at most {LONGEST_TTL_S} seconds (ten years)", ttl_s)
        return max(1, round(seconds * 1000))

    def _lane_full(self, change: SettingsChange) -> LaneFull:
        return LaneFull(
            f"the lane of user {change.user_id} and trader {change.trader_id} holds"
            f" {self._settings.lane_limit} changes; enqueue again when it has drained"
        )

    def _handle(self, job_id: str, *, already_there: bool = False) -> Job:
        return Job(job_id, already_there, _redis=self._redis, _listener=self._listener)


@asynccontextmanager
async def _reaching_redis(consequence: str) -> AsyncIterator[None]:
    try:
        yield
    except RedisError as exc:  # redis-py wraps the system's errors; an OSError is the caller's iterable's
        raise QueueUnavailable(f"Redis did not answer ({type(exc).__name__}: {exc}); {consequence}") from exc
