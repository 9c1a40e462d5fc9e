"""What is logged while Redis does not serve a worker, and which errors end its start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from producers import SettingsError
from tests.support.manual_clock import ManualClock
from worker.queue import redis_retry
from worker.queue.redis_retry import RedisAvailability, ShardAvailability

GONE = RedisConnectionError("gone")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_retry, "MAX_PAUSE_S", 0.001)


@pytest.fixture
def availability(clock: ManualClock) -> RedisAvailability:
    return RedisAvailability(clock)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    """Return a command that raises these errors, one at each call, and then returns."""
    left = list(errors)

    async def command() -> str:
        if left:
            raise left.pop(0)
        return "reply"

    return command


async def test_an_outage_is_one_line_a_minute_for_all_parts_and_one_at_its_end(
    availability: RedisAvailability, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends when the last part is served again."""
    for _ in range(4 * 90):
        for part in ("claims", "settlements", "renewing the session", "control jobs"):
            availability.failed(part, GONE)
        clock.advance(0.25)
    for part in ("claims", "settlements", "renewing the session"):
        availability.served(part)
    before = len(caplog.records)
    availability.served("control jobs")

    away = "Redis did not answer (ConnectionError: gone); start it, or correct COPYTRADE_REDIS_DSN"
    assert lines(caplog) == [
        f"{away}; waiting: claims",
        f"{away}; waiting for 60 s: claims, settlements, renewing the session, control jobs",
        "Redis serves this worker again, after 90.0 s",
    ]
    assert before == 2


async def test_outages_that_follow_each_other_fast_are_not_logged_each(
    availability: RedisAvailability, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """One in ten seconds is, with its end."""
    for _ in range(21):
        availability.failed("claims", GONE)
        availability.served("claims")
        clock.advance(1)

    assert [line.partition(" (")[0] for line in lines(caplog)] == [
        "Redis did not answer",
        "Redis serves this worker again, after 0.0 s",
    ] * 3


async def test_an_outage_that_begins_after_another_ended_is_logged(
    availability: RedisAvailability, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten seconds after the line of the first one, if it begins earlier."""
    availability.failed("claims", GONE)
    clock.advance(2)
    availability.served("claims")
    clock.advance(2)
    for _ in range(20):
        availability.failed("claims", GONE)
        clock.advance(1)

    assert [line.partition("; waiting")[2] for line in lines(caplog)] == [": claims", "", " for 6 s: claims"]


async def test_each_problem_of_an_outage_is_logged(
    availability: RedisAvailability, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """At once, and then each minute; two that take turns are two lines."""
    errors = [GONE, NoPermissionError("no right"), AuthenticationError("invalid username-password pair")]
    for error in errors * 20:
        availability.failed("claims", error)
        clock.advance(1)

    assert [line.partition(" (")[0] for line in lines(caplog)] == [
        "Redis did not answer",
        "Redis's ACL does not let this user do that",
        "Redis rejected the user or password",
    ]


async def test_the_line_names_the_error(availability: RedisAvailability, caplog: pytest.LogCaptureFixture) -> None:
    """A missing right is not called an outage."""
    errors = [NoPermissionError("no right")] * 3

    assert await availability.retry_until_up(failing(*errors), "claims") == "reply"

    assert lines(caplog)[0].startswith("Redis's ACL does not let this user do that (NoPermissionError: no right); ")
    assert len(lines(caplog)) == 2


async def test_a_part_that_is_cancelled_does_not_end_the_outage(
    availability: RedisAvailability, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is known of Redis then."""
    asked = asyncio.Event()

    async def command() -> None:
        if caplog.records:
            asked.set()
        raise GONE

    endless = asyncio.create_task(availability.retry_until_up(command, "claims"))
    await asked.wait()
    endless.cancel()
    await asyncio.wait({endless})

    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "error", [AuthenticationError("invalid username-password pair"), ResponseError("MOVED 1 10.0.0.1:6379")]
)
async def test_what_only_a_person_can_mend_ends_the_start_and_nothing_later(
    availability: RedisAvailability, error: RedisError, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that runs waits for it, and says so."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_REDIS_DSN: (Redis rejected|this Redis is in cluster mode)"):
        await availability.retry_until_up(failing(GONE, error), "the start", is_starting=True)
    caplog.clear()

    assert await availability.retry_until_up(failing(error), "claims") == "reply"


async def test_a_shard_that_is_served_does_not_end_the_outage_of_another(
    availability: RedisAvailability, caplog: pytest.LogCaptureFixture
) -> None:
    """The parts of the worker are told apart by their shard, and each shard knows its own."""
    first, second = ShardAvailability(availability, 0), ShardAvailability(availability, 1)
    second.failed("claims", GONE)

    assert await first.retry_until_up(failing(), "claims") == "reply"
    first.served("claims")
    assert list(first.problems) == []
    assert list(second.problems) == ["claims"]
    assert list(availability.problems) == ["claims of shard 1"]
    assert "waiting: claims of shard 1" in caplog.text

    second.served("claims")
    assert list(availability.problems) == []
