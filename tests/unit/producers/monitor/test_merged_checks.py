"""The checks of several servers as those of one queue."""

from __future__ import annotations

from producers.monitor.checks import CheckStatus, fail, merge_checks, ok, warn


def test_what_needs_action_is_said_once_with_its_servers() -> None:
    """In the order of the names; what is sound is told of each server, where it differs."""
    found = merge_checks(
        {
            "a:1": [ok("redis", "fast"), warn("persistence", "off", "set it"), ok("clock", "0 ms"), ok("mode", "fit")],
            "b:2": [warn("redis", "slow", "look"), warn("persistence", "off", "set it"), ok("clock", "9 ms")],
            "c:3": [ok("redis", "fast"), fail("persistence", "no disk", "mend it"), ok("clock", "0 ms")],
        }
    )

    assert [(check.name, check.status, check.detail) for check in found] == [
        ("redis", CheckStatus.WARN, "b:2: slow"),
        ("persistence", CheckStatus.WARN, "a:1, b:2: off"),
        ("persistence", CheckStatus.FAIL, "c:3: no disk"),
        ("clock", CheckStatus.OK, "a:1, c:3: 0 ms; b:2: 9 ms"),
        ("mode", CheckStatus.OK, "fit"),
    ]


def test_the_checks_of_the_only_server_stay_as_they_are() -> None:
    """It needs no name."""
    ill = [warn("redis", "slow", "look"), ok("clock", "right")]

    assert merge_checks({"": ill}) == ill
