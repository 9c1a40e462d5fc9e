"""A handle to the dead letters: listing, sending again, forgetting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from redis.asyncio import Redis

from producers import letters
from producers.contract import Outcome, Priority, SettingsChange
from producers.errors import ProducerError, QueueUnavailable
from producers.letters import LETTERS_A_TRIP, DeadLetter, Entry, ReplayReport, Selection
from producers.performing import perform
from producers.trips import Plan

T = TypeVar("T")

Resubmit = Callable[[SettingsChange, str, Priority], Awaitable[object]]


class DeadLetters:
    """Changes that ended rejected, unauthorized or exhausted, kept for `COPYTRADE_DEAD_LETTER_TTL_S`."""

    def __init__(self, redis: Redis, resubmit: Resubmit) -> None:
        self._redis = redis
        self._resubmit = resubmit

    async def list(
        self, *, outcome: Outcome | None = None, user_id: str | None = None, batch_id: str | None = None
    ) -> AsyncIterator[DeadLetter]:
        """Those letters of which all that is given holds, oldest first.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        entries = await self._do(letters.select(Selection(outcome, user_id, batch_id)), "looking for dead letters")
        for start in range(0, len(entries), LETTERS_A_TRIP):
            for letter in await self._read(entries[start : start + LETTERS_A_TRIP]):
                yield letter

    async def get(self, job_id: str) -> DeadLetter:
        """One letter.

        Raises:
            DeadLetterNotFound: there is no such letter.
            QueueUnavailable: Redis did not answer.
        """
        found = await self._read(await self._entries(Selection(job_id=job_id)))
        if not found:
            raise letters.not_found(job_id)
        return found[-1]

    async def counts(self) -> dict[Outcome, int]:
        """How many letters there are of each cause; those that expired since one was added are counted too.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        return await self._do(letters.counts(), "counting dead letters")

    async def replay(
        self,
        job_id: str | None = None,
        *,
        outcome: Outcome | None = None,
        user_id: str | None = None,
        batch_id: str | None = None,
    ) -> ReplayReport:
        """Puts letters at the ends of their lanes again, in their order, and forgets them.

        Each gets a job ID that follows from its old one (`order-7` becomes `order-7~2`), so that repeating this after a
        failure, or at the same time, adds nothing twice. One letter goes as `interactive`, a selection as `bulk`.

        Raises:
            DeadLetterNotFound: there is no letter of this job ID.
            QueueUnavailable: Redis did not answer; it is safe to repeat.
        """
        entries = await self._entries(Selection(outcome, user_id, batch_id, job_id))
        if job_id is not None and not entries:
            raise letters.not_found(job_id)
        priority = Priority.BULK if job_id is None else Priority.INTERACTIVE
        report = ReplayReport([], [])
        for start in range(0, len(entries), LETTERS_A_TRIP):
            some = entries[start : start + LETTERS_A_TRIP]
            by_id = {entry.job_id: entry for entry in some}
            for letter in await self._read(some):
                await self._replay(letter, by_id[letter.job_id], priority, report)
        return report

    async def drop(
        self,
        job_id: str | None = None,
        *,
        outcome: Outcome | None = None,
        user_id: str | None = None,
        batch_id: str | None = None,
    ) -> int:
        """Forgets letters; returns how many.

        Raises:
            DeadLetterNotFound: there is no letter of this job ID.
            QueueUnavailable: Redis did not answer; it is safe to repeat.
        """
        entries = await self._entries(Selection(outcome, user_id, batch_id, job_id))
        if job_id is not None and not entries:
            raise letters.not_found(job_id)
        return await self._do(letters.drop(entries), "dropping dead letters")

    async def _replay(self, letter: DeadLetter, entry: Entry, priority: Priority, report: ReplayReport) -> None:
        if letter.change is None:
            report.refused.append((letter.job_id, "its payload cannot be read; drop it"))
            return
        try:
            await self._resubmit(letter.change, letter.replay_id, priority)
        except QueueUnavailable:
            raise
        except ProducerError as exc:
            report.refused.append((letter.job_id, str(exc)))
            return
        await self._do(letters.drop([entry]), f"dropping dead letter {letter.job_id}")
        report.replayed.append((letter.job_id, letter.replay_id))

    async def _entries(self, selection: Selection) -> Sequence[Entry]:
        return await self._do(letters.select(selection), "looking for dead letters")

    async def _read(self, entries: Sequence[Entry]) -> Sequence[DeadLetter]:
        return await self._do(letters.read(entries), "reading dead letters")

    async def _do(self, plan: Plan[T], doing: str) -> T:
        return await perform(self._redis, plan, doing)
