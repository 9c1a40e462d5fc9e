"""Which dead letters an operation concerns. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from producers.contract import ids, keyspace
from producers.contract.messages import Outcome
from producers.queue.finish import DEAD_OUTCOMES

NO_CODE = "none"
"""Selects the dead letters without a code of the exchange: nothing was sent, or the result has expired."""


class Filters(TypedDict, total=False):
    """The filters that combine. None matches everything."""

    outcome: Outcome | None
    user_id: str | None
    trader_id: str | None
    batch_id: str | None
    code: str | None


class RetryFilters(TypedDict, total=False):
    """What selects some of a batch's dead letters. `until_us` is as in `Selection`."""

    outcome: Outcome | None
    code: str | None
    until_us: float | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects the dead letters that match all of its attributes which are not None.

    `until_us` is the last time at which they ended: an operation leaves those that are added later. A page of dead
    letters starts from a time of its own.
    """

    outcome: Outcome | None = None
    user_id: str | None = None
    batch_id: str | None = None
    job_id: str | None = None
    trader_id: str | None = None
    code: str | None = None
    until_us: float | None = None

    @classmethod
    def from_arguments(
        cls,
        job_id: str | None,
        *,
        outcome: Outcome | None,
        user_id: str | None,
        trader_id: str | None,
        batch_id: str | None,
        code: str | None,
        everything: bool,
        until_us: float | None,
    ) -> Selection:
        """Return the selection of the arguments of `DeadLetters.replay` and `DeadLetters.drop`.

        Raises:
            TypeError: nothing was given, or `everything` with something else.
        """
        selection = cls(outcome, user_id, batch_id, job_id, trader_id, code)
        if (selection == cls()) is not everything:
            filters = "outcome=, user_id=, trader_id=, batch_id= and code="
            raise TypeError(f"give a job ID, or some of {filters}, or just everything=True")
        return replace(selection, until_us=until_us)

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """The outcomes whose indexes have to be read."""
        return DEAD_OUTCOMES if self.outcome is None else (Outcome(self.outcome),)

    @property
    def is_whole_index(self) -> bool:
        """Whether it selects everything in the indexes of its outcomes."""
        return self == Selection(outcome=self.outcome)

    @property
    def needle(self) -> bytes:
        """A text that each selected index entry contains: entries without it need no closer look."""
        names = [keyspace.escape(name) for name in (self.user_id, self.trader_id) if name is not None]
        return max([*names, self.batch_id or ""], key=len).encode(errors="replace")

    def matches(self, lane: str, job_id: str) -> bool:
        """Return whether a dead letter is selected, apart from its outcome and its code."""
        user_id, trader_id = keyspace.user_and_trader(lane)
        return (
            (self.job_id is None or self.job_id in (job_id, ids.other_form(job_id)))
            and (self.user_id is None or self.user_id == user_id)
            and (self.trader_id is None or self.trader_id == trader_id)
            and (self.batch_id is None or self.batch_id == ids.batch_id_of(job_id))
        )
