"""What a check found. Both sides' doctors answer with these; no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class CheckStatus(StrEnum):
    """How bad it is."""

    OK = "ok"
    """As it should be."""
    WARN = "warn"
    """The queue works, and somebody should look at this."""
    FAIL = "fail"
    """The queue does not work, or may lose what it accepted."""


class Check(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One finding.

    Attributes:
        name: what was looked at; the same in every run.
        status: how bad it is.
        detail: what was found, one line.
        hint: what to do about it, one line; "" if there is nothing to do.
    """

    name: str
    status: CheckStatus
    detail: str
    hint: str = ""


def ok(name: str, detail: str) -> Check:
    """All is well."""
    return Check(name=name, status=CheckStatus.OK, detail=detail)


def warn(name: str, detail: str, hint: str) -> Check:
    """Somebody should look."""
    return Check(name=name, status=CheckStatus.WARN, detail=detail, hint=hint)


def fail(name: str, detail: str, hint: str) -> Check:
    """Something must be done."""
    return Check(name=name, status=CheckStatus.FAIL, detail=detail, hint=hint)


def worst(checks: Iterable[Check]) -> CheckStatus:
    """The worst status of some checks; OK if there are none."""
    found = {check.status for check in checks}
    return next((status for status in (CheckStatus.FAIL, CheckStatus.WARN) if status in found), CheckStatus.OK)
