"""A handle to the dead letters, without await. See producers.client.dead_letters for what the methods raise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from redis import Redis

from producers.contract.messages import Outcome
from producers.queue import dead_letters
from producers.queue.dead_letters import READ_BATCH_SIZE, DeadLetter, Selection
from producers.queue.replay import ReplayReport, replay
from producers.settings import ProducerSettings
from producers.sync.performing import run_plan
from producers.transport.plan import Plan

T = TypeVar("T")


class DeadLetters:
    """Changes that ended rejected, unauthorized or exhausted, kept for `COPYTRADE_DEAD_LETTER_TTL_S`."""

    def __init__(self, redis: Redis, settings: ProducerSettings) -> None:
        self._redis = redis
        self._settings = settings

    def list(
        self, *, outcome: Outcome | None = None, user_id: str | None = None, batch_id: str | None = None
    ) -> Iterator[DeadLetter]:
        """Those letters of which all that is given holds, oldest first."""
        entries = self._do(
            dead_letters.select_entries(Selection(outcome, user_id, batch_id)), "looking for dead letters"
        )
        for start in range(0, len(entries), READ_BATCH_SIZE):
            some = entries[start : start + READ_BATCH_SIZE]
            yield from self._do(dead_letters.fetch(some), "reading dead letters")

    def get(self, job_id: str) -> DeadLetter:
        """One letter."""
        return self._do(dead_letters.get(job_id), f"reading dead letter {job_id}")

    def counts(self) -> dict[Outcome, int]:
        """How many letters there are of each cause; those that expired since one was added are counted too."""
        return self._do(dead_letters.count_by_outcome(), "counting dead letters")

    def replay(
        self,
        job_id: str | None = None,
        *,
        outcome: Outcome | None = None,
        user_id: str | None = None,
        batch_id: str | None = None,
        everything: bool = False,
    ) -> ReplayReport:
        """Puts letters at the ends of their lanes again, in their order, and forgets them."""
        chosen = Selection.from_arguments(
            job_id, outcome=outcome, user_id=user_id, batch_id=batch_id, everything=everything
        )
        plan = replay(chosen, self._settings)
        return self._do(plan, "replaying dead letters")

    def drop(
        self,
        job_id: str | None = None,
        *,
        outcome: Outcome | None = None,
        user_id: str | None = None,
        batch_id: str | None = None,
        everything: bool = False,
    ) -> int:
        """Forgets letters; returns how many."""
        chosen = Selection.from_arguments(
            job_id, outcome=outcome, user_id=user_id, batch_id=batch_id, everything=everything
        )
        plan = dead_letters.drop(chosen)
        return self._do(plan, "dropping dead letters")

    def _do(self, plan: Plan[T], action: str) -> T:
        return run_plan(self._redis, plan, action)
