# Generated from producers/client/dead_letters.py by `python -m ops.unasync`: change that file, not this one.
"""The handle to the dead letters: listing, replaying and dropping them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Unpack

from redis import Redis

from producers.contract.messages import Outcome
from producers.queue import dead_letters
from producers.queue.dead_letter_index import count, newest_us, select_part
from producers.queue.dead_letter_pages import (
    DeadLetterGrouping,
    DeadLetterGroups,
    DeadLetterPage,
    group_newest,
    newest_page,
)
from producers.queue.dead_letter_selection import Filters, Selection
from producers.queue.dead_letters import READ_BATCH_SIZE, DeadLetter
from producers.queue.replay import replay
from producers.queue.resubmission import ReplayReport
from producers.queue.slicing import slices
from producers.settings import ProducerSettings
from producers.sync.transport import run_plan
from producers.tracing import open_tracing
from producers.transport.clients import keyspace_of


class DeadLetters:
    """The changes that ended `rejected`, `unauthorized` or `exhausted`, kept for `COPYTRADE_DEAD_LETTER_TTL_S`.

    Use it as `Producer.dead`.
    """

    def __init__(self, redis: Redis, settings: ProducerSettings) -> None:
        self._redis = redis
        self._keys = keyspace_of(redis)
        self._settings = settings

    def list(
        self,
        *,
        outcome: Outcome | None = None,
        user_id: str | None = None,
        trader_id: str | None = None,
        batch_id: str | None = None,
        code: str | None = None,
    ) -> DeadLetterListing:
        """Iterate over the dead letters that match all given arguments, oldest first; without arguments, over all.

        `code` is the exchange's code of the result, "none" for those without one. Results expire before dead letters
        do (`COPYTRADE_RESULT_TTL_S`); from then on a dead letter has no code.
        """
        selection = Selection(outcome, user_id, batch_id, trader_id=trader_id, code=code)
        return DeadLetterListing(self._redis, selection)

    def page(self, start_us: float | None = None, *, limit: int = 100, **filters: Unpack[Filters]) -> DeadLetterPage:
        """Return the newest dead letters that match the filters of `list`, for a page of them.

        Args:
            start_us: the `next_us` of the page before; None for the newest.
            limit: how many to return at most. With filters, 2,000 are looked at for them, perhaps in vain.
            filters: as for `list`.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        plan = newest_page(self._keys, Selection(**filters), start_us=start_us, limit=limit)
        return run_plan(self._redis, plan, "listing dead letters")

    def groups(self, by: DeadLetterGrouping, **filters: Unpack[Filters]) -> DeadLetterGroups:
        """Return how many dead letters there are of each cause, user, batch or trader, among the newest 2,000.

        Args:
            by: what they are grouped by.
            filters: as for `list`.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        plan = group_newest(self._keys, Selection(**filters), by)
        return run_plan(self._redis, plan, "grouping dead letters")

    def count(self, **filters: Unpack[Filters]) -> int:
        """Return how many dead letters match the filters of `list`; those that have expired may be counted.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        return run_plan(self._redis, count(self._keys, Selection(**filters)), "counting dead letters")

    def get(self, job_id: str) -> DeadLetter:
        """Return the dead letter of a change.

        Raises:
            DeadLetterNotFound: there is none, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        return run_plan(self._redis, dead_letters.get(self._keys, job_id), f"reading dead letter {job_id}")

    def newest_us(self) -> float | None:
        """Return when the newest dead letter ended, Unix microseconds on Redis's clock; None if there is none.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        return run_plan(self._redis, newest_us(self._keys, Selection()), "reading the newest dead letter")

    def counts(self) -> dict[Outcome, int]:
        """Return how many dead letters there are of each outcome.

        Letters that have expired are counted until the next letter of their outcome is added.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        return run_plan(self._redis, dead_letters.count_by_outcome(self._keys), "counting dead letters")

    def replay(
        self,
        job_id: str | None = None,
        *,
        outcome: Outcome | None = None,
        user_id: str | None = None,
        trader_id: str | None = None,
        batch_id: str | None = None,
        code: str | None = None,
        everything: bool = False,
        until_us: float | None = None,
    ) -> ReplayReport:
        """Enqueue dead letters again at the ends of their lanes, in their order, and drop them.

        The new job ID is derived from the old one and its end (`DeadLetter.replay_id`). So repeating the call after a
        failure, or making it twice at the same time, enqueues no letter twice.

        Args:
            job_id: replay this letter, with priority `interactive`; a selection is replayed as `bulk`.
            outcome: replay the letters of this outcome.
            user_id: replay the letters of this user.
            trader_id: replay the letters of this trader.
            batch_id: replay the letters of this batch.
            code: replay the letters whose result has this code of the exchange; see `list`.
            everything: replay all letters; combines with no other argument but the next.
            until_us: the last time: replay no letter that ended after the `newest_us` of an earlier moment. Not for one
                by its job ID.

        Returns:
            The old and new ID of each replayed letter, and why others were refused.

        Raises:
            TypeError: there is no argument, or another one beside `everything`.
            DeadLetterNotFound: there is no letter of this job ID.
            QueueUnavailable: Redis did not answer; it is safe to repeat.
        """
        selection = Selection.from_arguments(
            job_id,
            outcome=outcome,
            user_id=user_id,
            trader_id=trader_id,
            batch_id=batch_id,
            code=code,
            everything=everything,
            until_us=until_us,
        )
        with open_tracing(self._settings).send_many() as sending:
            plan = replay(self._keys, selection, self._settings, sending)
            return run_plan(self._redis, plan, "replaying dead letters")

    def drop(
        self,
        job_id: str | None = None,
        *,
        outcome: Outcome | None = None,
        user_id: str | None = None,
        trader_id: str | None = None,
        batch_id: str | None = None,
        code: str | None = None,
        everything: bool = False,
        until_us: float | None = None,
    ) -> int:
        """Delete dead letters. The arguments select them as for `replay`.

        Returns:
            How many letters were deleted.

        Raises:
            TypeError: there is no argument, or another one beside `everything`.
            DeadLetterNotFound: there is no letter of this job ID.
            QueueUnavailable: Redis did not answer; it is safe to repeat.
        """
        selection = Selection.from_arguments(
            job_id,
            outcome=outcome,
            user_id=user_id,
            trader_id=trader_id,
            batch_id=batch_id,
            code=code,
            everything=everything,
            until_us=until_us,
        )
        return run_plan(self._redis, dead_letters.drop(self._keys, selection), "dropping dead letters")


class DeadLetterListing:
    """The selected dead letters. Iterating reads them, oldest first.

    Attributes:
        malformed: how many index entries were left out because they cannot be read; of those that iterating has
            reached.
    """

    def __init__(self, redis: Redis, selection: Selection) -> None:
        self.malformed = 0
        self._redis = redis
        self._keys = keyspace_of(redis)
        self._selection = selection

    def __iter__(self) -> Iterator[DeadLetter]:
        """Read the dead letters.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        newest = run_plan(self._redis, newest_us(self._keys, self._selection), "listing dead letters")
        self.malformed = 0
        start_us: float | None = None
        while True:
            plan = select_part(self._keys, self._selection, start_us=start_us, end_us=newest)
            part = run_plan(self._redis, plan, "listing dead letters")
            self.malformed += part.malformed
            for entries in slices(part.entries, READ_BATCH_SIZE):
                for dead_letter in run_plan(
                    self._redis, dead_letters.fetch(self._keys, entries), "reading dead letters"
                ):
                    yield dead_letter
            start_us = part.next_us
            if start_us is None:
                return
