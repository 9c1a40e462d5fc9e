"""What a gateway's health says of a queue of which parts can be read."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from producers import QueueUnavailable
from producers.gateway.calls.reading import Reading, merge_readings, reasons_of
from producers.monitor.queue_metrics import Memory
from tests.support.overviews import overview

HOME = Reading(None, None)
SERVED = Reading(overview(), Memory(1, 10))
AWAY = Reading(None, None, {"redis": "Redis did not answer"})
OTHER_LAYOUT = Reading(None, None, {"layout": "another version wrote it"})


def test_a_gateway_is_ready_while_it_reaches_one_shard() -> None:
    """The others, and the home, are told beside; the figures of a part of the queue are not shown as the queue's."""
    one_away = merge_readings(HOME, [SERVED, AWAY, SERVED])
    home_away = merge_readings(AWAY, [SERVED, AWAY, AWAY])

    assert one_away == Reading(None, None, {}, {"shard 1": "Redis did not answer"})
    assert (home_away.reasons, [*home_away.degraded]) == ({}, ["home", "shard 1", "shard 2"])


@pytest.mark.parametrize("shards", [[AWAY], [AWAY, AWAY]])
def test_a_gateway_that_reaches_no_shard_is_not_ready(shards: list[Reading]) -> None:
    """With one shard or several."""
    assert merge_readings(HOME, shards) == AWAY


def test_another_layout_keeps_all_shards_from_being_used() -> None:
    """The figures stay."""
    found = merge_readings(OTHER_LAYOUT, [SERVED, SERVED])

    assert (found.reasons, found.degraded) == (OTHER_LAYOUT.reasons, {})
    assert found.overview is not None


def test_the_figures_are_those_of_all_shards() -> None:
    """The memory is that of the fullest server."""
    found = merge_readings(HOME, [SERVED, Reading(overview(), Memory(9, 10))])

    assert (found.reasons, found.degraded, found.memory) == ({}, {}, Memory(9, 10))
    assert found.overview is not None
    assert found.overview.in_flight == 2 * overview().in_flight


@pytest.mark.parametrize(
    ("cause", "at_fault"),
    [
        (RedisConnectionError("refused"), "redis"),
        (ResponseError("ASK 9263 127.0.0.1:7001"), "redis"),
        (ResponseError("READONLY You can't write against a read only replica."), "redis"),
        (NoPermissionError("this user has no permissions to run the 'eval' command"), "scripts"),
    ],
)
def test_what_ends_by_itself_is_the_fault_of_redis(cause: RedisError, at_fault: str) -> None:
    """A slot that is moved key by key, too; scripts are at fault where Redis refuses them. A worker says the same."""
    error = QueueUnavailable("reading the overview")
    error.__cause__ = cause

    assert [*reasons_of(error)] == [at_fault]
