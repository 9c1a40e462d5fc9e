"""The events of a chaos run depend on its seed and its length only."""

from __future__ import annotations

from collections import Counter

import pytest

from ops.chaos.report import MIN_FAULTS_PER_S
from ops.chaos.schedule import MIN_SECONDS, NOT_FAULTS, PER_MINUTE, QUIET_START_S, WINDOWS, schedule


def test_the_same_seed_gives_the_same_events() -> None:
    """So that a violation can be reproduced."""
    assert schedule(7, 60) == schedule(7, 60)
    assert schedule(7, 60) != schedule(8, 60)


@pytest.mark.parametrize("seconds", [MIN_SECONDS, 12, 60, 300])
def test_every_kind_of_event_happens_in_every_run(seconds: float) -> None:
    """However short it is, within its time, in order."""
    events = schedule(3, seconds)

    assert {event.kind for event in events} == set(PER_MINUTE)
    assert events == sorted(events, key=lambda event: event.at_s)
    assert all(QUIET_START_S <= event.at_s <= seconds for event in events)
    assert sum(event.is_fault for event in events) >= MIN_FAULTS_PER_S * seconds


def test_a_minute_has_a_hundred_faults() -> None:
    """Not counting what operators do."""
    happened = Counter(event.kind for event in schedule(1, 60) if event.is_fault)

    assert happened.total() >= 100
    assert not happened.keys() & NOT_FAULTS


def test_every_fault_of_the_exchange_has_its_share_and_its_time() -> None:
    """A window for each kind that the schedule names."""
    kinds = {kind.removeprefix("exchange ") for kind in PER_MINUTE if kind.startswith("exchange ")}

    assert kinds - {"away"} == set(WINDOWS)
