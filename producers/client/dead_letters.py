"""The handle to the dead letters: listing, replaying and dropping them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from producers.client.dead_letter_listing import DeadLetterListing, newest_page
from producers.client.shard import Shard, run_on_all, run_until_found, run_where_found
from producers.contract.messages import Outcome
from producers.errors import DeadLetterNotFound
from producers.queue import dead_letters
from producers.queue.dead_letter_index import count, newest_us
from producers.queue.dead_letter_pages import (
    DeadLetterGrouping,
    DeadLetterGroups,
    DeadLetterPage,
    group_newest,
    merge_groups,
)
from producers.queue.dead_letter_selection import Filters, Selection
from producers.queue.dead_letters import DeadLetter
from producers.queue.replay import replay
from producers.queue.resubmission import ReplayReport
from producers.settings import ProducerSettings
from producers.tracing import open_tracing


class DeadLetters:
    """The changes that ended `rejected`, `unauthorized` or `exhausted`, kept for `COPYTRADE_DEAD_LETTER_TTL_S`.

    Use it as `Producer.dead`.
    """

    def __init__(self, shards: Sequence[Shard], settings: ProducerSettings) -> None:
        self._shards = shards
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
        return DeadLetterListing(self._shards, selection)

    async def page(
        self, start_us: float | None = None, *, limit: int = 100, **filters: Unpack[Filters]
    ) -> DeadLetterPage:
        """Return the newest dead letters that match the filters of `list`, for a page of them.

        Args:
            start_us: the `next_us` of the page before; None for the newest.
            limit: how many to return at most. With filters, 2,000 are looked at for them, perhaps in vain.
            filters: as for `list`.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        return await newest_page(self._shards, Selection(**filters), start_us, limit)

    async def groups(self, by: DeadLetterGrouping, **filters: Unpack[Filters]) -> DeadLetterGroups:
        """Return how many dead letters there are of each cause, user, batch or trader, among the newest 2,000.

        Args:
            by: what they are grouped by.
            filters: as for `list`.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        selection = Selection(**filters)
        parts = await run_on_all(
            self._shards, lambda shard: group_newest(shard.keys, selection, by), "grouping dead letters"
        )
        return merge_groups(parts)

    async def count(self, **filters: Unpack[Filters]) -> int:
        """Return how many dead letters match the filters of `list`; those that have expired may be counted.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        selection = Selection(**filters)
        counts = await run_on_all(self._shards, lambda shard: count(shard.keys, selection), "counting dead letters")
        return sum(counts)

    async def get(self, job_id: str) -> DeadLetter:
        """Return the dead letter of a change.

        Raises:
            DeadLetterNotFound: there is none, or it has expired.
            QueueUnavailable: Redis did not answer.
        """
        action = f"reading dead letter {job_id}"
        _, letter = await run_until_found(
            self._shards, lambda shard: dead_letters.get(shard.keys, job_id), action, DeadLetterNotFound
        )
        return letter

    async def newest_us(self) -> float | None:
        """Return when the newest dead letter ended, Unix microseconds on Redis's clock; None if there is none.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        action = "reading the newest dead letter"
        found = await run_on_all(self._shards, lambda shard: newest_us(shard.keys, Selection()), action)
        return max((at_us for at_us in found if at_us is not None), default=None)

    async def counts(self) -> dict[Outcome, int]:
        """Return how many dead letters there are of each outcome.

        Letters that have expired are counted until the next letter of their outcome is added.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        action = "counting dead letters"
        counts = await run_on_all(self._shards, lambda shard: dead_letters.count_by_outcome(shard.keys), action)
        return dead_letters.merge_counts(counts)

    async def replay(
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
            found = await run_where_found(
                self._shards,
                lambda shard: replay(shard.keys, selection, self._settings, sending),
                "replaying dead letters",
                DeadLetterNotFound,
            )
        return ReplayReport.merged([report for _, report in found])

    async def drop(
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
        action = "dropping dead letters"
        found = await run_where_found(
            self._shards, lambda shard: dead_letters.drop(shard.keys, selection), action, DeadLetterNotFound
        )
        return sum(dropped for _, dropped in found)
