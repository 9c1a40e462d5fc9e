"""The checks of several servers as those of one queue."""

from __future__ import annotations

from producers.monitor.checks import CheckStatus, fail, merge_checks, ok, warn


def test_what_needs_action_is_said_once_with_its_servers() -> None:
    """In the order of the names; of what is sound, the first server's check stands for all."""
    found = merge_checks(
        {
            "a:1": [ok("redis", "fast"), warn("persistence", "is off", "set it"), ok("clock", "right")],
            "b:2": [warn("redis", "slow", "look"), warn("persistence", "is off", "set it"), ok("clock", "late")],
            "c:3": [ok("redis", "fast"), fail("persistence", "no disk", "mend it"), ok("clock", "right")],
        }
    )

    assert [(check.name, check.status, check.detail) for check in found] == [
        ("redis", CheckStatus.WARN, "b:2: slow"),
        ("persistence", CheckStatus.WARN, "a:1, b:2: is off"),
        ("persistence", CheckStatus.FAIL, "c:3: no disk"),
        ("clock", CheckStatus.OK, "right"),
    ]


def test_the_checks_of_the_only_server_stay_as_they_are() -> None:
    """It needs no name."""
    ill = [warn("redis", "slow", "look"), ok("clock", "right")]

    assert merge_checks({"": ill}) == ill
