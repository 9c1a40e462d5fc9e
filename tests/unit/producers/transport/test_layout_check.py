"""What a program reads of a queue's layout before anything else."""

from __future__ import annotations

from typing import Any

import pytest

from ops.keys import KEYS
from producers.contract.layout import LAYOUT
from producers.transport.layout_check import fetch_layout


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
