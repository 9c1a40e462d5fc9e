"""The result of a health check, for the doctors of producers and workers. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def merge_checks(parts: Mapping[str, Sequence[Check]]) -> list[Check]:
    """Return the checks of several servers by their addresses: of a name those that need action, or else one.

    What is alike is said once, with the servers it is of; without them if it is alike at all of them.
    """
    if len(parts) == 1:
        return [check for part in parts.values() for check in part]
    merged: list[Check] = []
    for name in dict.fromkeys(check.name for part in parts.values() for check in part):
        found: dict[Check, list[str]] = {}
        for address, part in parts.items():
            for check in part:
                if check.name == name:
                    found.setdefault(check, []).append(address)
        details = {check: f"{', '.join(addresses)}: {check.detail}" for check, addresses in found.items()}
        ill = [
            msgspec.structs.replace(check, detail=detail)
            for check, detail in details.items()
            if check.status is not CheckStatus.OK
        ]
        sound = next(iter(found)).detail if len(found) == 1 else "; ".join(details.values())
        merged += ill or [ok(name, sound)]
    return merged


def worst(checks: Iterable[Check]) -> CheckStatus:
    """Return the highest severity of some checks; OK if there are none."""
    severities = list(CheckStatus)
    return max((check.status for check in checks), key=severities.index, default=CheckStatus.OK)
