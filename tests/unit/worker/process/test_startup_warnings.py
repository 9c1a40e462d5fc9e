"""Whether a Redis is fit to hold a queue, by what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from worker.process.checks import startup_warnings

FIT: dict[str, Any] = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "aof_enabled": 1}


@pytest.mark.parametrize("version", ["6.2.0", "6.2", "7.0.15", "8.0.0", "10.1.2", "7.4.0-rc1"])
def test_a_fit_redis_gives_no_cause_for_complaint(version: str) -> None:
    """6.2 is the oldest."""
    assert startup_warnings(FIT | {"redis_version": version}) == []


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"redis_version": "6.0.16"}, "Redis 6.0.16 is too old: 6.2 or newer is needed"),
        ({"redis_version": "5.0.7"}, "Redis 5.0.7 is too old"),
        ({"maxmemory_policy": "allkeys-lru"}, "maxmemory-policy is allkeys-lru: Redis may evict queued changes"),
        ({"maxmemory_policy": "volatile-ttl"}, "maxmemory-policy is volatile-ttl"),
        ({"aof_enabled": 0}, "appendonly is off: a restart of Redis loses accepted changes"),
        ({"aof_enabled": "0"}, "appendonly is off"),
    ],
)
def test_each_unfitness_is_one_line_with_its_remedy(changed: dict[str, Any], complaint: str) -> None:
    """And nothing else is complained of."""
    (only,) = startup_warnings(FIT | changed)

    assert only.startswith(complaint)
    assert "\n" not in only


def test_all_complaints_are_made_at_once() -> None:
    """Nobody wants to start three times."""
    assert (
        len(startup_warnings({"redis_version": "3.2.1", "maxmemory_policy": "allkeys-random", "aof_enabled": 0})) == 3
    )


@pytest.mark.parametrize("info", [{}, {"redis_version": ""}, {"redis_version": "unstable"}])
def test_what_is_not_said_is_not_complained_of(info: dict[str, Any]) -> None:
    """A managed Redis hides some of it."""
    assert startup_warnings(info) == []
