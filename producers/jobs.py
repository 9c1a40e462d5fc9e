"""A handle to one change: its status and its result."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from producers import keys
from producers.codec import UnreadableChange, decode_change, decode_result
from producers.contract import JobResult
from producers.errors import JobNotFound, QueueUnavailable, ResultTimeout
from producers.listening import Listener

LOOK_AGAIN_S = 5.0
"""A waiter looks at the result itself this often, in case an announcement was lost with a connection."""


class JobState(StrEnum):
    """Where a change is."""

    QUEUED = "queued"
    IN_FLIGHT = "in_flight"
    DONE = "done"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Where a change is.

    Attributes:
        state: queued, in flight, done, or not found (never accepted, or its result has expired).
        position: how many changes of its lane go before it; only when queued.
        result: how it ended; only when done.
    """

    state: JobState
    position: int | None = None
    result: JobResult | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A handle to one change.

    Attributes:
        job_id: the change's ID.
        already_there: whether enqueueing found this ID already accepted, and so added nothing.
    """

    job_id: str
    already_there: bool = False
    _redis: Redis = field(kw_only=True, repr=False, compare=False)
    _listener: Listener = field(kw_only=True, repr=False, compare=False)

    async def result(self, timeout: float | None = None) -> JobResult:  # noqa: ASYNC109 - the name users expect
        """How the change ended; waits for it. Whoever waits is told at once.

        Args:
            timeout: seconds to wait; None waits for ever, 0 only looks.

        Raises:
            ResultTimeout: it has not ended by then; it stays queued.
            JobNotFound: it was never accepted, or its result has expired.
            QueueUnavailable: Redis did not answer.
        """
        found = await self._look()
        if found is not None:
            return found
        if timeout is None or timeout > 0:
            deadline_s = math.inf if timeout is None else time.monotonic() + timeout
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    return await self._wait(deadline_s)
        raise ResultTimeout(f"change {self.job_id} has not ended within {timeout} s; it stays queued")

    async def status(self) -> JobStatus:
        """Where the change is now.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        try:
            return await self._status()
        except RedisError as exc:
            raise QueueUnavailable(f"asking for the status of {self.job_id}: {exc}") from exc

    async def _wait(self, deadline_s: float) -> JobResult:
        """Waits for the announcement, and looks from time to time.

        The deadline (monotonic clock) is looked at here too: before Python 3.12, redis-py's use of `asyncio.wait_for`
        may swallow the caller's time-out.
        """
        async with self._listener.listen(self.job_id) as announcement:
            while True:
                announcement.clear()  # before looking: what is announced meanwhile must not be lost
                found = await self._look()
                if found is not None:
                    return found
                patience_s = min(LOOK_AGAIN_S, deadline_s - time.monotonic())
                if patience_s <= 0:
                    raise TimeoutError
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience_s):
                        await announcement.wait()

    async def _look(self) -> JobResult | None:
        try:
            stored, queued = await self._stored_and_queued()
            if stored is None and not queued:
                stored = await self._redis.get(keys.RESULT + self.job_id)  # it may have ended between the two reads
        except RedisError as exc:
            raise QueueUnavailable(f"asking for the result of {self.job_id}: {exc}") from exc
        if stored is not None:
            return _read(stored, self.job_id)
        if not queued:
            raise JobNotFound(f"no change {self.job_id}: it was never accepted, or its result has expired")
        return None

    async def _stored_and_queued(self) -> tuple[bytes | None, bool]:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.get(keys.RESULT + self.job_id)
            pipe.exists(keys.JOB + self.job_id)
            stored, queued = await pipe.execute()
        return stored, bool(queued)

    async def _status(self) -> JobStatus:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.get(keys.RESULT + self.job_id)
            pipe.get(keys.JOB + self.job_id)
            stored, payload = await pipe.execute()
        if stored is not None:
            return JobStatus(JobState.DONE, result=_read(stored, self.job_id))
        if payload is None:
            return JobStatus(JobState.NOT_FOUND)
        try:
            change = decode_change(payload).a[0]
        except UnreadableChange:  # it will end as rejected when its turn comes
            return JobStatus(JobState.QUEUED)
        lane = keys.lane(change.user_id, change.trader_id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.lpos(keys.LANE + lane, self.job_id)
            pipe.hexists(keys.HEAD + lane, "token")
            position, claimed = await pipe.execute()
        if position is None:  # it ended between the two reads
            stored = await self._redis.get(keys.RESULT + self.job_id)
            state = JobState.NOT_FOUND if stored is None else JobState.DONE
            return JobStatus(state, result=None if stored is None else _read(stored, self.job_id))
        if position == 0 and claimed:
            return JobStatus(JobState.IN_FLIGHT)
        return JobStatus(JobState.QUEUED, position=position)


def _read(stored: bytes, job_id: str) -> JobResult:
    try:
        return decode_result(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise JobNotFound(f"what is stored as the result of {job_id} is not a change's result: {exc}") from exc
