"""Generated job IDs: unique, and in order."""

from __future__ import annotations

import re
import time

import pytest

from producers.contract.ids import MAX_SEQUENCE, SortableIds
from producers.contract.validation import check_id

MS = 1_000_000


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time that IDs are made from, nanoseconds; the test changes its only entry."""
    now = [1_700_000_000_000 * MS]
    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    return now


def test_ids_of_one_generator_sort_in_the_order_they_were_made() -> None:
    """The 20,000 IDs, many of one millisecond, are also distinct."""
    ids = SortableIds()
    made = [ids.next() for _ in range(20_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_an_id_is_32_hex_digits() -> None:
    """It also satisfies the rule for job IDs."""
    made = SortableIds().next()

    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert check_id("job_id", made) == made


def test_ids_stay_in_order_when_the_sequence_of_a_millisecond_is_used_up(frozen: list[int]) -> None:
    """The next millisecond is borrowed."""
    ids = SortableIds()
    made = [ids.next() for _ in range(MAX_SEQUENCE + 3)]

    assert made == sorted(made)
    assert int(made[-1][:12], 16) == frozen[0] // MS + 1


def test_ids_stay_in_order_when_the_clock_steps_back(frozen: list[int]) -> None:
    """The last millisecond is used on."""
    ids = SortableIds()
    before = ids.next()
    frozen[0] -= 3_600_000 * MS

    assert ids.next() > before


def test_ids_of_two_generators_sort_by_millisecond(frozen: list[int]) -> None:
    """Generators share no state, so only the time at the front of an ID orders them."""
    one, other = SortableIds(), SortableIds()
    before = one.next()
    frozen[0] += MS

    assert before < other.next()


def test_two_generators_do_not_make_the_same_id(frozen: list[int]) -> None:
    """The time is frozen, so only the random bits differ."""
    assert SortableIds().next() != SortableIds().next()
    assert frozen
