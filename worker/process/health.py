"""Whether a worker process is ready: it claims and sends. All of it is known when it is asked; no probe costs Redis.

A worker of several shards is ready while it serves one of them: to restart it would help none of the others, and would
hold up its users. What it does not serve meanwhile is told beside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from producers.transport.redis_errors import ErrorKind
from worker.clock import Clock
from worker.metrics import WorkerMetrics
from worker.queue.egress_shares import PART as SHARES
from worker.queue.redis_retry import OF_SHARD, RedisAvailability, RedisProblem
from worker.queue.session import Session

LAG_INTERVAL_S = 0.5
"""Pause between two measurements of the event loop's lag."""

MAX_LAG_S = 1.0
"""A lag above this makes the worker unready: half of a session's time to live, or of a probe's usual time-out."""

LAG_MEMORY_S = 10.0
"""How long a lag above the maximum counts; probes usually come as often."""

NOT_NEEDED_TO_SEND = frozenset(
    {
        "announcing this worker",
        "control jobs",
        "counting users",
        "cron jobs",
        SHARES,
        "wake-ups",
        "waking other workers",
    }
)
"""Parts of the worker that Redis may refuse while it claims and sends. Most are asked again at long intervals, too, so
that they hear late that Redis is back. A Redis that is away is known from the renewals of the session."""

UNTRUSTED = "it cannot be trusted: Redis did not confirm it in time, and nothing is sent"


class LoopLag:
    """Measures how late the event loop's timers fire."""

    def __init__(self, clock: Clock, metrics: WorkerMetrics) -> None:
        self._clock = clock
        self._histogram = metrics.event_loop_lag
        self._last_slow_s = -math.inf

    @property
    def is_high(self) -> bool:
        """Whether a timer was late by more than `MAX_LAG_S` in the last `LAG_MEMORY_S`."""
        return self._clock.monotonic() - self._last_slow_s < LAG_MEMORY_S

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due_s = self._clock.monotonic() + LAG_INTERVAL_S
            await self._clock.sleep(LAG_INTERVAL_S)
            now_s = self._clock.monotonic()
            self._histogram.observe(max(0.0, now_s - due_s))
            if now_s - due_s > MAX_LAG_S:
                self._last_slow_s = now_s


class Health:
    """What a worker's readiness depends on.

    Attributes:
        sessions: its sessions, one for each shard; none until it dispatches.
        is_stopping: whether it was asked to stop.
    """

    def __init__(self, availability: RedisAvailability, lag: LoopLag) -> None:
        self._availability = availability
        self._lag = lag
        self.sessions: Sequence[Session] = ()
        self.is_stopping = False

    def unready_reasons(self) -> dict[str, str]:
        """Return why the worker is not ready, by the part that is not; empty if it is."""
        is_served = len(self.unserved_shards()) < len(self.sessions)
        return unready_reasons(
            [] if is_served else self._needed().values(),
            is_started=bool(self.sessions),
            is_session_trusted=is_served or all(map(_is_trusted, self.sessions)),
            is_lag_high=self._lag.is_high,
            is_stopping=self.is_stopping,
        )

    def unserved_shards(self) -> dict[int, str]:
        """Return why the worker claims nothing in a shard, by the number of each shard for which that is so."""
        needed, found = self._needed(), dict[int, str]()
        for number, session in enumerate(self.sessions):
            suffix = f"{OF_SHARD}{number}" if len(self.sessions) > 1 else ""
            problems = [problem.problem for part, problem in needed.items() if part.endswith(suffix)]
            if problems or not _is_trusted(session):
                found[number] = problems[0] if problems else f"the session: {UNTRUSTED}"
        return found

    def unserved_count(self) -> int | None:
        """Return the number of these shards, and one more for a home that is away; None before it dispatches."""
        return len(self.unserved_shards()) + (self._home_problem() is not None) if self.sessions else None

    def degraded(self) -> dict[str, str]:
        """Return what does not work in a queue with several shards, by its name; the others may work."""
        if len(self.sessions) <= 1:
            return {}
        found = {f"shard {number}": reason for number, reason in self.unserved_shards().items()}
        if problem := self._home_problem():
            found["home"] = f"{problem.problem}; each shard sends by the smallest share of the egress"
        return found

    def _home_problem(self) -> RedisProblem | None:
        """Return why the home of a queue with several shards does not serve this worker; None if it does."""
        return self._availability.problems.get(SHARES) if len(self.sessions) > 1 else None

    def _needed(self) -> dict[str, RedisProblem]:
        """Return the problems of the parts that are needed to send."""
        found = self._availability.problems.items()
        return {part: problem for part, problem in found if part.partition(OF_SHARD)[0] not in NOT_NEEDED_TO_SEND}


def _is_trusted(session: Session) -> bool:
    return session.is_trusted(session.session_id)


def unready_reasons(
    problems: Iterable[RedisProblem],
    *,
    is_started: bool,
    is_session_trusted: bool,
    is_lag_high: bool,
    is_stopping: bool,
) -> dict[str, str]:
    """Return why a worker is not ready.

    Args:
        problems: of Redis, one for each part of the worker that is needed to send and waits for it.
        is_started: whether it has a session.
        is_session_trusted: whether it may send under it.
        is_lag_high: whether its event loop was slow lately.
        is_stopping: whether it was asked to stop.
    """
    reasons: dict[str, str] = {}
    for problem in problems:
        part = "scripts" if problem.kind is ErrorKind.REFUSED else "redis"
        reasons.setdefault(part, problem.problem)
    if not is_started:
        reasons.setdefault("scripts", "none has run yet: the worker is starting")
    elif not is_session_trusted:
        reasons["session"] = UNTRUSTED
    if is_lag_high:
        reasons["event_loop"] = f"a timer was late by more than {MAX_LAG_S:g} s within the last {LAG_MEMORY_S:g} s"
    if is_stopping:
        reasons["stopping"] = "the worker was asked to stop"
    return reasons
