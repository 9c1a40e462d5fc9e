"""What the producers of a chaos run ask for: known beforehand, and told apart at the exchange."""

from __future__ import annotations

from collections import Counter

from ops.chaos.report import CHANGES_PER_S
from ops.chaos.schedule import PRODUCERS
from ops.chaos.workload import LAST_MARK, USERS, Method, last_word, step, steps
from producers.contract.validation import MAX_ID_CHARS, check

SECONDS = 60


def test_a_step_is_the_same_whenever_it_is_asked_for() -> None:
    """A producer that was killed goes on with the very same changes and IDs."""
    assert step(5, 2, 40) == step(5, 2, 40)
    assert step(5, 2, 40) != step(6, 2, 40)


def test_every_change_is_one_that_producers_accept() -> None:
    """What is refused is asked for elsewhere."""
    for producer in range(PRODUCERS):
        for number in range(steps(SECONDS)):
            one = step(1, producer, number)
            for place, item in enumerate(one.items):
                check(item.change)
                assert item.user in USERS
                assert len(one.job_id(place)) <= MAX_ID_CHARS


def test_a_mark_names_one_change_of_its_lane() -> None:
    """By it, what arrives at the exchange is traced back."""
    marks: Counter[tuple[str, str, str]] = Counter()
    for producer in range(PRODUCERS):
        for number in range(steps(SECONDS)):
            marks.update((item.user, item.trader, item.mark) for item in step(1, producer, number).items)

    assert max(marks.values()) == 1
    assert all(int(mark) < LAST_MARK for _, _, mark in marks)
    assert last_word("1", "t", 3).mark == str(LAST_MARK + 3)


def test_there_is_enough_work_of_every_kind() -> None:
    """All ways of asking, more changes than a run must have, and all kinds of deadlines."""
    every = [step(1, producer, number) for producer in range(PRODUCERS) for number in range(steps(SECONDS))]

    assert {one.how for one in every} == set(Method)
    assert sum(len(one.items) for one in every) >= 1.2 * CHANGES_PER_S * SECONDS
    assert any(one.coalesce for one in every)
    assert any(one.ttl_s for one in every)
    assert any(not one.insists for one in every)
    assert any(one.cancels for one in every)
    assert any(item.is_bold for one in every for item in one.items)
