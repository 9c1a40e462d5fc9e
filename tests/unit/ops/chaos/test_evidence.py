"""What is stored of a batch in several shards, as one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ops.chaos.evidence import BatchState, merged

FIRST = BatchState("b", 2, 0, {"applied": 2}, complete=True, sealed=True, stream=[("b..1", "applied")], ends=1)
SECOND = BatchState("b", 1, 1, {"expired": 1}, complete=True, sealed=True, stream=[("b..2", "expired")], ends=1)


def test_the_parts_of_a_batch_are_added_up() -> None:
    """Other batches stay apart."""
    other = replace(FIRST, batch_id="c")

    assert merged([FIRST, other, SECOND]) == [
        BatchState(
            "b",
            total=3,
            in_flight=1,
            outcomes={"applied": 2, "expired": 1},
            complete=True,
            sealed=True,
            stream=[("b..1", "applied"), ("b..2", "expired")],
            ends=1,
        ),
        other,
    ]


@pytest.mark.parametrize(("of_second", "ends"), [(0, 0), (1, 1), (2, 2)])
def test_one_part_with_a_wrong_number_of_end_markers_is_enough(of_second: int, ends: int) -> None:
    """Each part has one."""
    assert merged([FIRST, replace(SECOND, ends=of_second)])[0].ends == ends


def test_a_batch_is_complete_when_every_part_is() -> None:
    """And sealed when every part is."""
    (found,) = merged([FIRST, replace(SECOND, complete=False, sealed=False)])

    assert (found.complete, found.sealed) == (False, False)
