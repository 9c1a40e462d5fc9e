"""The doctor's checks of what a Redis reports."""

from __future__ import annotations

from typing import Any

import pytest

from producers.monitor import redis_checks
from producers.monitor.checks import Check, CheckStatus, fail, ok, warn, worst

FIT: dict[str, Any] = {
    "redis_version": "7.2.4",
    "role": "master",
    "connected_slaves": 1,
    "cluster_enabled": 0,
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "used_memory": 10 * 1024 * 1024,
    "maxmemory": 0,
}
MIB = 1024 * 1024


def of(name: str, **changed: Any) -> Check:
    """Return one check of a suitable server with some values changed."""
    (check,) = [check for check in redis_checks.check_info(FIT | changed) if check.name == name]
    return check


def test_a_fit_redis_passes_every_check() -> None:
    """No check has a hint, and the order is fixed."""
    found = redis_checks.check_info(FIT)

    assert [check.name for check in found] == ["version", "mode", "eviction", "persistence", "memory"]
    assert {check.status for check in found} == {CheckStatus.OK}
    assert {check.hint for check in found} == {""}


@pytest.mark.parametrize(
    ("name", "changed", "status", "words"),
    [
        ("version", {"redis_version": "6.0.16"}, "fail", "Redis 6.0.16 is too old: 6.2 or newer is needed"),
        ("mode", {"role": "slave"}, "fail", "this server is a slave"),
        (
            "mode",
            {"cluster_enabled": 1},
            "fail",
            "in cluster mode, and the DSN is that of a single server",
        ),
        ("eviction", {"maxmemory_policy": "allkeys-lru"}, "fail", "Redis may evict queued changes"),
        ("persistence", {"aof_enabled": 0}, "warn", "a restart of Redis loses accepted changes"),
        ("persistence", {"aof_last_write_status": "err"}, "fail", "Redis refuses changes until one succeeds"),
        ("memory", {"maxmemory": 12 * MIB}, "warn", "10 of 12 MiB in use (83%)"),
        ("memory", {"maxmemory": 10 * MIB}, "fail", "10 of 10 MiB in use (100%)"),
        ("memory", {"maxmemory": 11.7 * MIB}, "fail", "changes are refused (COPYTRADE_REDIS_FULL_PERCENT=85)"),
        ("memory", {"maxmemory": 10 * MIB, "maxmemory_policy": "volatile-lru"}, "ok", "10 of 10 MiB in use (100%)"),
        ("memory", {"maxmemory": 100 * MIB}, "ok", "10 of 100 MiB in use (10%)"),
        ("memory", {}, "ok", "10 MiB in use, without a limit"),
    ],
)
def test_each_shortcoming_of_a_redis_is_reported_with_its_remedy(
    name: str, changed: dict[str, Any], status: str, words: str
) -> None:
    """The remedy is the hint, which a passed check lacks; both texts are single lines."""
    check = of(name, **changed)

    assert check.status == status
    assert words in check.detail
    assert bool(check.hint) == (status != "ok")
    assert "\n" not in check.detail + check.hint


def test_the_owner_of_the_slot_passes_for_a_client_that_follows_it() -> None:
    """With the number of its replicas."""
    found = redis_checks.check_info(FIT | {"cluster_enabled": 1, "connected_slaves": 1}, follows_cluster=True)

    (mode,) = [check for check in found if check.name == "mode"]
    assert (mode.status, mode.detail) == (CheckStatus.OK, "primary of a cluster, with 1 replica")


def test_a_valkey_is_shown_with_its_own_version() -> None:
    """The detail also has the Redis version that it is compatible with."""
    check = of("version", server_name="valkey", valkey_version="9.1.2")

    assert (check.status, check.detail) == (CheckStatus.OK, "valkey 9.1.2, which speaks Redis 7.2.4")


@pytest.mark.parametrize("field", ["redis_version", "role", "maxmemory_policy", "aof_enabled", "used_memory"])
def test_a_value_that_redis_does_not_report_is_a_warning_that_names_it(field: str) -> None:
    """A managed server hides some values; the others are still checked."""
    told = {name: value for name, value in FIT.items() if name != field}
    found = redis_checks.check_info(told)

    (warning,) = [check for check in found if check.status is not CheckStatus.OK]
    assert warning.status is CheckStatus.WARN
    assert field in warning.detail


@pytest.mark.parametrize("changed", [{"used_memory": "much"}, {"aof_enabled": "perhaps"}, {"cluster_enabled": None}])
def test_a_value_of_an_unknown_form_is_a_warning(changed: dict[str, Any]) -> None:
    """One check warns of it, and the others are not affected."""
    found = redis_checks.check_info(FIT | changed)

    assert [check.status for check in found].count(CheckStatus.WARN) == 1
    assert "in an unknown way" in next(check.detail for check in found if check.status is CheckStatus.WARN)


def test_a_distant_redis_is_a_warning() -> None:
    """Above 20 ms."""
    assert redis_checks.check_round_trip(0.019).status is CheckStatus.OK
    assert redis_checks.check_round_trip(0.021) == warn(
        "redis", "answers after 21.0 ms, more than 20 ms", "run producers and workers nearer to Redis"
    )


@pytest.mark.parametrize(
    ("offset_s", "uncertain_s", "status"),
    [(0.4, 0, "ok"), (-0.4, 0, "ok"), (0.6, 0, "warn"), (-0.6, 0, "warn"), (0.6, 0.2, "ok"), (-3_600, 2, "warn")],
)
def test_a_clock_difference_within_the_round_trip_is_no_warning(
    offset_s: float, uncertain_s: float, status: str
) -> None:
    """Half a second; a slow answer proves nothing within its round trip."""
    check = redis_checks.check_clock(offset_s, uncertain_s)

    assert check.status == status
    assert f"{offset_s * 1000:+.0f} ms" in check.detail


def test_scripts_that_may_not_run_are_a_failure() -> None:
    """Changes enter and leave the queue only through scripts."""
    assert redis_checks.check_scripts(None).status is CheckStatus.OK
    assert redis_checks.check_scripts("NOPERM").status is CheckStatus.FAIL


def test_a_key_of_a_wrong_type_is_not_called_a_missing_right() -> None:
    """The hint says what to do about the key."""
    check = redis_checks.check_scripts("WRONGTYPE Operation against a key holding the wrong kind of value")

    assert check.status is CheckStatus.FAIL
    assert "wrong type" in check.detail
    assert "delete the key" in (check.hint or "")


def test_the_worst_status_of_all_checks_decides() -> None:
    """Without any check the status is OK."""
    good, bad, worse = ok("a", "b"), warn("a", "b", "c"), fail("a", "b", "c")

    assert worst([]) is CheckStatus.OK
    assert worst([good]) is CheckStatus.OK
    assert worst([good, bad]) is CheckStatus.WARN
    assert worst([worse, bad, good]) is CheckStatus.FAIL
