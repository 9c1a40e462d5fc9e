"""Whether a Redis is suitable for a queue, by what it reports."""

from __future__ import annotations

from typing import Any

import pytest

from worker.process.checks import startup_warnings

FIT: dict[str, Any] = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "aof_enabled": 1}


@pytest.mark.parametrize("version", ["6.2.0", "6.2", "7.0.15", "8.0.0", "10.1.2", "7.4.0-rc1"])
def test_a_suitable_redis_gives_no_warning(version: str) -> None:
    """Versions are compared as numbers; a missing third part or a suffix does no harm."""
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
def test_each_shortcoming_is_one_warning_with_its_remedy(changed: dict[str, Any], complaint: str) -> None:
    """A warning is a single line, fit for the log."""
    (only,) = startup_warnings(FIT | changed)

    assert only.startswith(complaint)
    assert "\n" not in only


def test_all_warnings_are_given_at_once() -> None:
    """An operator can mend all three before the next start."""
    assert (
        len(startup_warnings({"redis_version": "3.2.1", "maxmemory_policy": "allkeys-random", "aof_enabled": 0})) == 3
    )


@pytest.mark.parametrize("info", [{}, {"redis_version": ""}, {"redis_version": "unstable"}])
def test_values_that_redis_does_not_report_give_no_warning(info: dict[str, Any]) -> None:
    """An absent or unknown value is no evidence of a fault."""
    assert startup_warnings(info) == []
