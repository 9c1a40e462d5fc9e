"""Whether a worker is ready, and how late its event loop is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from producers.transport.redis_errors import ErrorKind
from tests.support.manual_clock import ManualClock
from worker.metrics import WorkerMetrics
from worker.process.health import LAG_MEMORY_S, MAX_LAG_S, NOT_NEEDED_TO_SEND, Health, LoopLag, unready_reasons
from worker.queue.egress_shares import PART as SHARES
from worker.queue.redis_retry import RedisAvailability, RedisProblem, ShardAvailability
from worker.queue.session import PART as RENEWAL

READY: dict[str, Any] = {
    "problems": (),
    "is_started": True,
    "is_session_trusted": True,
    "is_lag_high": False,
    "is_stopping": False,
}


def test_a_worker_that_sends_is_ready() -> None:
    """There is no reason against it."""
    assert unready_reasons(**READY) == {}


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"problems": [RedisProblem(ErrorKind.AWAY, "Redis did not answer")]}, ["redis"]),
        ({"problems": [RedisProblem(ErrorKind.FULL, "Redis is full")]}, ["redis"]),
        ({"problems": [RedisProblem(ErrorKind.REFUSED, "the ACL does not let it")]}, ["scripts"]),
        ({"is_started": False, "is_session_trusted": False}, ["scripts"]),
        ({"is_session_trusted": False}, ["session"]),
        ({"is_lag_high": True}, ["event_loop"]),
        ({"is_stopping": True}, ["stopping"]),
    ],
)
def test_a_worker_that_does_not_send_says_why(changed: dict[str, Any], parts: list[str]) -> None:
    """By the part that is not as it should be."""
    assert list(unready_reasons(**READY | changed)) == parts


def test_only_parts_that_are_needed_to_send_make_a_worker_unready(clock: ManualClock) -> None:
    """The others may be refused, or hear late that Redis is back."""
    availability = RedisAvailability(clock)
    health = Health(availability, LoopLag(clock, WorkerMetrics()))
    refused = NoPermissionError("no right")

    for part in NOT_NEEDED_TO_SEND:
        availability.failed(part, refused)
        ShardAvailability(availability, 1).failed(part, refused)
    before = health.unready_reasons()
    ShardAvailability(availability, 1).failed(RENEWAL, refused)
    after = health.unready_reasons()

    assert before == {"scripts": "none has run yet: the worker is starting"}
    assert after == {"scripts": "Redis's ACL does not let this user do that"}


class StandIn:
    """A session of which only the trust is asked."""

    session_id = "s"

    def __init__(self, *, is_trusted: bool = True) -> None:
        self.is_trusted = lambda _: is_trusted


@pytest.fixture
def of_shards(clock: ManualClock) -> tuple[Health, RedisAvailability]:
    """The health of a worker that serves three shards, and what it depends on."""
    availability = RedisAvailability(clock)
    health = Health(availability, LoopLag(clock, WorkerMetrics()))
    sessions: list[Any] = [StandIn() for _ in range(3)]
    health.sessions = sessions
    return health, availability


def test_a_worker_is_ready_while_it_serves_one_of_its_shards(
    of_shards: tuple[Health, RedisAvailability],
) -> None:
    """What is away is told beside. A restart would mend none of it."""
    health, availability = of_shards
    found = []
    for number in range(3):
        ShardAvailability(availability, number).failed("claims", ConnectionRefusedError())
        found.append((health.unserved_count(), health.unready_reasons(), health.degraded()))
    away = "Redis did not answer: nothing listens there"

    assert found == [
        (1, {}, {"shard 0": away}),
        (2, {}, {"shard 0": away, "shard 1": away}),
        (3, {"redis": away}, {"shard 0": away, "shard 1": away, "shard 2": away}),
    ]


def test_a_shard_whose_session_cannot_be_trusted_is_not_served(of_shards: tuple[Health, RedisAvailability]) -> None:
    """Without a session in any of them nothing is sent."""
    health, _ = of_shards
    sessions: list[Any] = [StandIn(), StandIn(is_trusted=False)]
    health.sessions = sessions
    one = (health.unready_reasons(), [*health.degraded()])
    health.sessions = sessions[1:]

    assert one == ({}, ["shard 1"])
    assert (list(health.unready_reasons()), health.degraded()) == (["session"], {})


def test_a_worker_that_hears_no_shares_of_its_egress_is_ready(of_shards: tuple[Health, RedisAvailability]) -> None:
    """Those are in the home, which counts as unserved. It sends by the smallest, which an operator can see."""
    health, availability = of_shards
    availability.failed(SHARES, ConnectionRefusedError())

    assert health.unready_reasons() == {}
    assert health.unserved_count() == 1
    assert health.degraded() == {
        "home": "Redis did not answer: nothing listens there; each shard sends by the smallest share of the egress"
    }


class LateClock(ManualClock):
    """A clock whose timers fire late, and which stops after some of them."""

    def __init__(self, *late_s: float) -> None:
        super().__init__()
        self._late_s = list(late_s)

    async def sleep(self, seconds: float) -> None:
        """Wake up late by the next of the given times."""
        if not self._late_s:
            raise asyncio.CancelledError
        self.advance(seconds + self._late_s.pop(0))


async def test_timers_that_fire_late_are_counted_and_a_long_stall_is_remembered() -> None:
    """For as long as probes need to see it."""
    clock, metrics = LateClock(0.003, 0.03, MAX_LAG_S + 0.1), WorkerMetrics()
    lag = LoopLag(clock, metrics)
    with pytest.raises(asyncio.CancelledError):
        await lag.run()

    assert round(metrics.event_loop_lag.distributions[()].total, 3) == round(0.033 + MAX_LAG_S + 0.1, 3)
    assert lag.is_high
    clock.advance(LAG_MEMORY_S)
    assert not lag.is_high
