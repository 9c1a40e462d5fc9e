"""What a program reads of a queue's layout before anything else."""

from __future__ import annotations

from typing import Any

import pytest

from ops.keys import KEYS
from producers.contract.layout import LAYOUT
from producers.transport.layout_check import fetch_layout, refusal


@pytest.mark.parametrize(
    ("replies", "layout"),
    [
        ([b"2"], "2"),
        ([b"3"], "3"),
        ([None, 0], LAYOUT),
        ([None, 1, None], "1"),
        ([None, 1, b"2"], "2"),
    ],
    ids=["marked", "later", "new", "earlier", "begun between two reads"],
)
def test_a_queue_that_begins_meanwhile_is_not_taken_for_an_earlier_one(
    replies: list[bytes | int | None], layout: str
) -> None:
    """Whoever begins it marks it in the same step."""
    plan: Any = fetch_layout(KEYS)
    next(plan)
    for reply in replies[:-1]:
        plan.send([reply])

    with pytest.raises(StopIteration) as ended:
        plan.send([replies[-1]])
    assert ended.value.value == layout


@pytest.mark.parametrize(
    ("layout", "mark", "says"),
    [
        ("2/4", "2/8", "COPYTRADE_SHARDS=4, and this program has 8: set it to 4"),
        ("2", "2/4", "COPYTRADE_SHARDS=1, and this program has 4: set it to 1"),
        ("1", "2/4", "COPYTRADE_SHARDS=1, and this program has 4: set it to 1"),
        ("1", "2", "copytrade migrate --yes"),
        ("3/4", "2", "update this program"),
    ],
)
def test_a_refusal_says_what_to_do_first(layout: str, mark: str, says: str) -> None:
    """A queue of an earlier version has no shards, so it is moved without."""
    assert says in refusal(layout, mark)
