"""The changes of a chaos run: known beforehand, and matched to the requests at the exchange."""

from __future__ import annotations

from collections import Counter

from ops.chaos.report import MIN_CHANGES_PER_S
from ops.chaos.schedule import PRODUCERS
from ops.chaos.workload import FIRST_FINAL_TRACE_VALUE, USERS, Method, final_item, step, steps
from producers.contract.validation import MAX_ID_CHARS, check_change

SECONDS = 60


def test_a_step_is_always_the_same() -> None:
    """A producer that was killed continues with the same changes and IDs."""
    assert step(5, 2, 40) == step(5, 2, 40)
    assert step(5, 2, 40) != step(6, 2, 40)


def test_every_change_is_one_that_producers_accept() -> None:
    """Their refusal is tested elsewhere."""
    for producer in range(PRODUCERS):
        for number in range(steps(SECONDS)):
            one = step(1, producer, number)
            for place, item in enumerate(one.items):
                check_change(item.change)
                assert item.user in USERS
                assert len(one.job_id(place)) <= MAX_ID_CHARS


def test_a_trace_value_identifies_one_change_of_its_lane() -> None:
    """A request at the exchange is matched to its change by it."""
    values: Counter[tuple[str, str, str]] = Counter()
    for producer in range(PRODUCERS):
        for number in range(steps(SECONDS)):
            values.update((item.user, item.trader, item.trace_value) for item in step(1, producer, number).items)

    assert max(values.values()) == 1
    assert all(int(value) < FIRST_FINAL_TRACE_VALUE for _, _, value in values)
    assert final_item("1", "t", 3).trace_value == str(FIRST_FINAL_TRACE_VALUE + 3)


def test_there_is_enough_work_of_every_kind() -> None:
    """All calls, more changes than a run must have, and all kinds of deadlines."""
    every = [step(1, producer, number) for producer in range(PRODUCERS) for number in range(steps(SECONDS))]

    assert {one.method for one in every} == set(Method)
    assert sum(len(one.items) for one in every) >= 1.2 * MIN_CHANGES_PER_S * SECONDS
    assert any(one.coalesce for one in every)
    assert any(one.ttl_s for one in every)
    assert any(not one.repeats for one in every)
    assert any(one.cancels for one in every)
    assert any(item.must_be_rejected for one in every for item in one.items)
