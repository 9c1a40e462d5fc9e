"""Items of a body of JSON: each is checked, others get their turn meanwhile, and of many errors some are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import msgspec

from producers.errors import InvalidChange, LaneFull, Refusal
from producers.gateway.calls.problem_document import MAX_ROWS_SHOWN, RowProblem
from producers.gateway.calls.problems import BadRows, BodyTooLarge, LanesFull, row_problems
from producers.gateway.calls.turns import Turns

I = TypeVar("I")  # noqa: E741
T = TypeVar("T")


@dataclass
class Checked(Generic[T]):
    """The items of a body.

    Attributes:
        valid: those that break no rule.
        places: their places in the body, from 0; of rows their lines, from 1.
        invalid: how many others there are.
        errors: what is wrong with the first of these.
        are_rows: whether they are lines of a body of rows.
    """

    valid: list[T] = field(default_factory=list)
    places: Sequence[int] = field(default_factory=list)
    invalid: int = 0
    errors: list[RowProblem] = field(default_factory=list)
    are_rows: bool = False

    def refused(self, refusals: Sequence[Refusal]) -> list[RowProblem]:
        """Return what is wrong with items: invalid ones, and valid ones that were refused; not all if many."""
        found = row_problems(replace(one, index=self.places[one.index]) for one in refusals[:MAX_ROWS_SHOWN])
        if self.are_rows:
            found = [msgspec.structs.replace(problem, line=problem.index, index=None) for problem in found]
        return sorted([*self.errors, *found], key=_place)[:MAX_ROWS_SHOWN]


async def check_items(
    items: Iterable[I], read: Callable[[I], T], *, most: int, all_or_nothing: bool = False, done: str = "enqueued"
) -> Checked[T]:
    """Check items.

    Args:
        items: the items; a list, so that it has a length.
        read: returns an item as it is meant.
        most: how many there may be.
        all_or_nothing: whether one that breaks a rule refuses all.
        done: what is done with items, for messages.

    Raises:
        BodyTooLarge: there are too many.
        BadRows: none of them is valid, or one is invalid with `all_or_nothing`.
    """
    places: list[int] = []
    checked: Checked[T] = Checked(places=places)
    turns = Turns(time.perf_counter)
    for index, item in enumerate(items):
        if index >= most:
            raise BodyTooLarge(f"the body must have at most {most:,} items")
        await turns.give()
        try:
            value = read(item)
        except InvalidChange as exc:
            checked.invalid += 1
            if len(checked.errors) < MAX_ROWS_SHOWN:
                checked.errors += row_problems([Refusal(index, exc)])
            continue
        checked.valid.append(value)
        places.append(index)
    if checked.invalid and (all_or_nothing or not checked.valid):
        detail = f"{checked.invalid:,} of the items are invalid; nothing was {done}"
        raise BadRows(detail, checked.errors, total=checked.invalid)
    return checked


def nothing_enqueued(
    checked: Checked[Any], refusals: Sequence[Refusal], *, together: bool = False, again: str = ""
) -> BadRows:
    """Return the error of a call of whose items none was enqueued.

    Args:
        checked: the items of its body.
        refusals: the valid ones that were refused.
        together: whether all items had to be accepted, so that waiting helps only if full lanes are the only reason.
        again: how to call again.
    """
    total = checked.invalid + len(refusals)
    full = sum(isinstance(refusal.error, LaneFull) for refusal in refusals)
    errors = checked.refused(refusals)
    if full == total or (full and not together):
        how = f"call again {again}".strip()
        detail = f"nothing was enqueued: the lanes of {full:,} of the items are full; {how} when they have drained"
        return LanesFull(detail, errors, total=total)
    return BadRows(f"nothing was enqueued: {total:,} of the items cannot be accepted", errors, total=total)


def _place(row: RowProblem) -> int:
    return row.index or row.line or 0
