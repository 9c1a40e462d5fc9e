"""Whether Redis serves this worker: retries while it does not, and one log line for all parts of the worker."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from redis.exceptions import RedisError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception
from tenacity.wait import wait_random_exponential

from producers.errors import SettingsError
from producers.transport.explain import describe, explain
from producers.transport.explanations import DSN
from producers.transport.redis_errors import ErrorKind, error_kind
from worker.clock import Clock
from worker.logs import Event, log_fields
from worker.metrics import WorkerMetrics

FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 2.0

LOG_INTERVAL_S = 60.0
"""A problem is logged when it begins, then once in this time; the outage also when it ends."""

FLAPPING_INTERVAL_S = 10.0
"""A problem that ended and begins again is not logged more often than this."""

OF_SHARD = " of shard "
"""What the names of parts have before the number of the shard that they wait for, if there are several shards."""

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RedisProblem:
    """Why Redis does not serve a part of the worker.

    Attributes:
        kind: What is wrong, coarsely.
        problem: The same in words, without an address.
    """

    kind: ErrorKind
    problem: str


class RedisAvailability:
    """Which parts of the worker Redis does not serve, since when, and when that was logged.

    An outage begins when the first part fails, and ends when every part that failed is served again: a part may be
    refused (by the ACL, a full memory, a key of a wrong type) while others are not. Each problem of an outage has lines
    of its own.
    """

    def __init__(self, clock: Clock, metrics: WorkerMetrics | None = None) -> None:
        self._clock = clock
        self._metrics = metrics or WorkerMetrics()
        for kind in ErrorKind:
            self._metrics.redis_errors.begin(kind)
        self._failing: dict[str, RedisProblem] = {}
        self._since_s = 0.0
        self._logged_s: dict[str, float] = {}  # when each problem was logged last
        self._logged_now: set[str] = set()  # those of this outage

    @property
    def problems(self) -> Mapping[str, RedisProblem]:
        """What is wrong, by the part that waits for it; empty while Redis serves the worker."""
        return self._failing

    async def retry_until_up(
        self,
        command: Callable[[], Awaitable[T]],
        part: str,
        *,
        is_starting: bool = False,
    ) -> T:
        """Run an idempotent command until Redis accepts it, and return the reply.

        Args:
            command: the command. Errors of Redis are retried without a limit.
            part: what of the worker waits, for the log.
            is_starting: whether nothing has been accepted yet, so that the DSN may be wrong.

        Raises:
            SettingsError: the worker starts, and the error stays until the DSN or the server is corrected.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda exc: isinstance(exc, RedisError | OSError)),
            wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=MAX_PAUSE_S),
            before_sleep=lambda state: self._retry_or_give_up(state, part, is_starting=is_starting),
        )
        try:
            async for attempt in retrying:
                with attempt:
                    reply = await command()
                    self.served(part)
                    return reply
        except BaseException:
            self._failing.pop(part, None)  # it was cancelled, or gave up: nothing is known of Redis
            raise
        raise AssertionError("unreachable: the loop above has no stop")

    def failed(self, part: str, error: BaseException) -> None:
        """Take note that Redis did not answer, or refused. Log it, unless that was done a short time ago."""
        now_s, kind, explanation = self._clock.monotonic(), error_kind(error), explain(error)
        self._metrics.redis_errors.add(kind)
        if not self._failing:
            self._since_s = now_s
            self._logged_now.clear()
        self._failing[part] = RedisProblem(kind, explanation.problem)
        # What somebody has to mend is told apart by its words; a server that ends and starts has several on its way.
        needs_mending = explanation.permanent or kind is ErrorKind.REFUSED
        problem = explanation.problem if needs_mending else str(kind)
        pause_s = LOG_INTERVAL_S if problem in self._logged_now else FLAPPING_INTERVAL_S
        if now_s < self._logged_s.get(problem, -math.inf) + pause_s:
            return
        self._logged_s[problem] = now_s
        self._logged_now.add(problem)
        away_s = round(now_s - self._since_s, 3)
        waiting = ", ".join(self._failing)
        extra = log_fields(Event.REDIS_AWAY, waiting=waiting, away_s=away_s)
        since = f" for {away_s:.0f} s" if away_s else ""
        log.warning("%s; waiting%s: %s", describe(error), since, waiting, extra=extra)

    def served(self, part: str) -> None:
        """Take note that Redis serves a part; log the end of an outage that was logged."""
        if part not in self._failing:
            return
        del self._failing[part]
        if self._failing or not self._logged_now:
            return
        away_s = round(self._clock.monotonic() - self._since_s, 3)
        log.warning(
            "Redis serves this worker again, after %.1f s", away_s, extra=log_fields(Event.REDIS_BACK, away_s=away_s)
        )

    def _retry_or_give_up(self, state: RetryCallState, part: str, *, is_starting: bool) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is None:
            return
        if is_starting and explain(error).permanent:
            raise SettingsError(f"{DSN}: {describe(error)}") from error
        self.failed(part, error)


class ShardAvailability(RedisAvailability):
    """The same for one shard: its parts of the worker are told apart from those of others."""

    def __init__(self, whole: RedisAvailability, shard: int) -> None:
        """Create it; what happens is told to `whole`."""
        self._whole = whole
        self._suffix = f"{OF_SHARD}{shard}"

    @property
    def problems(self) -> Mapping[str, RedisProblem]:
        """What is wrong in this shard, by the part that waits for it."""
        found = self._whole.problems.items()
        return {part.removesuffix(self._suffix): problem for part, problem in found if part.endswith(self._suffix)}

    async def retry_until_up(self, command: Callable[[], Awaitable[T]], part: str, *, is_starting: bool = False) -> T:
        """Run an idempotent command until the shard accepts it, and return the reply."""
        return await self._whole.retry_until_up(command, part + self._suffix, is_starting=is_starting)

    def failed(self, part: str, error: BaseException) -> None:
        """Take note that the shard did not answer, or refused."""
        self._whole.failed(part + self._suffix, error)

    def served(self, part: str) -> None:
        """Take note that the shard serves a part."""
        self._whole.served(part + self._suffix)
