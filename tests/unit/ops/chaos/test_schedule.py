"""The events of a chaos run depend on its seed and its length only."""

from __future__ import annotations

import pytest

from ops.chaos.report import MIN_FAULTS_PER_S
from ops.chaos.schedule import MIN_SECONDS, QUIET_START_S, kinds, schedule


def test_the_same_seed_gives_the_same_events() -> None:
    """So that a violation can be reproduced."""
    assert schedule(7, 60) == schedule(7, 60)
    assert schedule(7, 60) != schedule(8, 60)


@pytest.mark.parametrize("in_cluster", [False, True])
@pytest.mark.parametrize("seconds", [MIN_SECONDS, 12, 60, 300])
def test_every_kind_of_event_happens_in_every_run(seconds: float, *, in_cluster: bool) -> None:
    """However short it is, within its time, in order."""
    events, of_run = schedule(3, seconds, in_cluster=in_cluster), kinds(in_cluster=in_cluster)

    assert {event.kind for event in events} == set(of_run)
    assert events == sorted(events, key=lambda event: event.at_s)
    assert all(QUIET_START_S <= event.at_s <= seconds for event in events)
    assert all(of_run[event.kind].shortest_s <= event.lasts_s <= of_run[event.kind].longest_s for event in events)
    assert sum(of_run[event.kind].is_fault for event in events) >= MIN_FAULTS_PER_S * seconds


def test_a_queue_with_several_shards_meets_the_same_but_for_apps_with_only_arq() -> None:
    """They cannot use it."""
    single, of_shards = kinds(in_cluster=False), kinds(in_cluster=False, shards=3)

    assert single.keys() - of_shards.keys() == {"arq submit"}
    assert {event.kind for event in schedule(1, MIN_SECONDS, shards=3)} == set(of_shards)


@pytest.mark.parametrize("in_cluster", [False, True])
def test_a_minute_has_a_hundred_faults(*, in_cluster: bool) -> None:
    """Not counting what operators do."""
    events, of_run = schedule(1, 60, in_cluster=in_cluster), kinds(in_cluster=in_cluster)
    assert sum(of_run[event.kind].is_fault for event in events) >= 100
