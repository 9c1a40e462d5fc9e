"""The result of a health check, for the doctors of producers and workers. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec


class CheckStatus(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    """No action needed."""
    WARN = "warn"
    """The queue works, but somebody should look at this."""
    FAIL = "fail"
    """The queue does not work, or may lose accepted changes."""


class Check(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One finding.

    Attributes:
        name: the subject; the same in every run.
        status: the severity.
        detail: what was found, one line.
        hint: what to do about it, one line; "" if nothing.
    """

    name: str
    status: CheckStatus
    detail: str
    hint: str = ""


def ok(name: str, detail: str) -> Check:
    """Return a finding that needs no action."""
    return Check(name=name, status=CheckStatus.OK, detail=detail)


def warn(name: str, detail: str, hint: str) -> Check:
    """Return a finding that somebody should look at."""
    return Check(name=name, status=CheckStatus.WARN, detail=detail, hint=hint)


def fail(name: str, detail: str, hint: str) -> Check:
    """Return a finding that must be repaired."""
    return Check(name=name, status=CheckStatus.FAIL, detail=detail, hint=hint)


def merge_checks(parts: Sequence[Sequence[Check]]) -> list[Check]:
    """Return the checks of several shards: the worst of each name, with the shard's number if it is not sound."""
    if len(parts) == 1:
        return list(parts[0])
    severities, found = list(CheckStatus), dict[str, Check]()
    for number, part in enumerate(parts):
        for check in part:
            known = found.get(check.name)
            if known is not None and severities.index(known.status) >= severities.index(check.status):
                continue
            is_sound = check.status is CheckStatus.OK
            named = check.detail if is_sound else f"shard {number}: {check.detail}"
            found[check.name] = msgspec.structs.replace(check, detail=named)
    return list(found.values())


def worst(checks: Iterable[Check]) -> CheckStatus:
    """Return the highest severity of some checks; OK if there are none."""
    severities = list(CheckStatus)
    return max((check.status for check in checks), key=severities.index, default=CheckStatus.OK)
