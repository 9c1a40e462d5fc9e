"""The limit of open files of this process, which connections count towards."""

from __future__ import annotations

import sys
from contextlib import suppress


def raise_limit(needed: int) -> int:
    """Raise the limit of open files to what is needed, as far as the system permits it.

    Returns:
        How many files this process may have open: fewer than `needed` if the system permits no more.
    """
    if sys.platform == "win32":
        return needed
    import resource  # noqa: PLC0415 - Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft == resource.RLIM_INFINITY:
        return needed
    if soft < allowed:
        with suppress(OSError):  # a filter of system calls may forbid it, as in ops/deploy/systemd
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            return allowed
    return min(soft, needed)
