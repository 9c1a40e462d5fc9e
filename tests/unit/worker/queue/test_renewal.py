"""Which renewals look for sessions that have lapsed."""

from __future__ import annotations

import random

import pytest

from worker.queue.renewal import LOOKS, LapsedSearch, RenewReply


def after(reply: RenewReply) -> LapsedSearch:
    search = LapsedSearch()
    search.learn(reply)
    return search


@pytest.mark.parametrize("sessions", [1, LOOKS])
def test_every_renewal_looks_while_there_are_few_sessions(sessions: int) -> None:
    """So the only other worker takes a dead one's lanes back within a beat."""
    assert after(RenewReply(is_alive=1, has_more=0, sessions=sessions)).is_due(0.999)


def test_of_many_workers_about_sixteen_look_in_a_beat() -> None:
    """By chance, so that none of them is needed."""
    search, draws = after(RenewReply(is_alive=1, has_more=0, sessions=1000)), random.Random(7)  # noqa: S311 - no secret

    assert 10 <= sum(search.is_due(draws.random()) for _ in range(1000)) <= 22


def test_a_renewal_that_left_lanes_behind_is_followed_by_one_that_looks() -> None:
    """Else the others of a dead session would wait."""
    assert after(RenewReply(is_alive=1, has_more=1, sessions=1000)).is_due(0.999)


def test_a_renewal_that_did_not_look_keeps_the_number() -> None:
    """It was told of no sessions."""
    search = after(RenewReply(is_alive=1, has_more=0, sessions=1000))
    search.learn(RenewReply(is_alive=1, has_more=0, sessions=0))

    assert not search.is_due(0.999)
