"""A handle to the dead letters: listing, sending again, forgetting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

from redis.asyncio import Redis

from producers.contract.messages import Outcome
from producers.queue import dead_letters
from producers.queue.dead_letters import READ_BATCH_SIZE, DeadLetter, Selection
from producers.queue.replay import ReplayReport, replay
from producers.settings import ProducerSettings
from producers.transport.plan import Plan
from producers.transport.runner import run_plan

T = TypeVar("T")


class DeadLetters:
    """Changes that ended rejected, unauthorized or exhausted, kept for `COPYTRADE_DEAD_LETTER_TTL_S`."""

    def __init__(self, redis: Redis, settings: ProducerSettings) -> None:
        self._redis = redis
        self._settings = settings

    async def list(
        self, *, outcome: Outcome | None = None, user_id: str | None = None, batch_id: str | None = None
    ) -> AsyncIterator[DeadLetter]:
        """Those letters of which all that is given holds, oldest first.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        entries = await self._do(
            dead_letters.select_entries(Selection(outcome, user_id, batch_id)), "looking for dead letters"
        )
        for start in range(0, len(entries), READ_BATCH_SIZE):
            some = entries[start : start + READ_BATCH_SIZE]
            for letter in await self._do(dead_letters.fetch(some), "reading dead letters"):
                yield letter

    async def get(self, job_id: str) -> DeadLetter:
        """One letter.

        Raises:
            DeadLetterNotFound: there is no such letter.
            QueueUnavailable: Redis did not answer.
        """
        return await self._do(dead_letters.get(job_id), f"reading dead letter {job_id}")

    async def counts(self) -> dict[Outcome, int]:
        """How many letters there are of each cause; those that expired since one was added are counted too.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        return await self._do(dead_letters.count_by_outcome(), "counting dead letters")

    async def replay(
        self,
        job_id: str | None = None,
        *,
        outcome: Outcome | None = None,
        user_id: str | None = None,
        batch_id: str | None = None,
        everything: bool = False,
    ) -> ReplayReport:
        """Puts letters at the ends of their lanes again, in their order, and forgets them.

        Each gets a job ID that follows from its old one and its end (`DeadLetter.replay_id`), so that repeating this
        after a failure, or at the same time, adds nothing twice. One letter goes as `interactive`, a selection as
        `bulk`.

        Raises:
            TypeError: nothing was given; all letters are `everything=True`.
            DeadLetterNotFound: there is no letter of this job ID.
            QueueUnavailable: Redis did not answer; it is safe to repeat.
        """
        chosen = Selection.from_arguments(
            job_id, outcome=outcome, user_id=user_id, batch_id=batch_id, everything=everything
        )
        plan = replay(chosen, self._settings)
        return await self._do(plan, "replaying dead letters")

    async def drop(
        self,
        job_id: str | None = None,
        *,
        outcome: Outcome | None = None,
        user_id: str | None = None,
        batch_id: str | None = None,
        everything: bool = False,
    ) -> int:
        """Forgets letters; returns how many.

        Raises:
            TypeError: nothing was given; all letters are `everything=True`.
            DeadLetterNotFound: there is no letter of this job ID.
            QueueUnavailable: Redis did not answer; it is safe to repeat.
        """
        chosen = Selection.from_arguments(
            job_id, outcome=outcome, user_id=user_id, batch_id=batch_id, everything=everything
        )
        plan = dead_letters.drop(chosen)
        return await self._do(plan, "dropping dead letters")

    async def _do(self, plan: Plan[T], action: str) -> T:
        return await run_plan(self._redis, plan, action)
