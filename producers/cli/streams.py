"""Standard streams that are closed, full, or that nobody reads any more."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

STDERR_FD = 2


def open_missing_streams() -> None:
    """Connect closed standard streams (`>&-`) to the null device.

    Otherwise the next file that is opened, such as the connection to Redis, would get their number.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= STDERR_FD:  # the system gives the lowest free number
        os.set_inheritable(fd, True)
    os.close(fd)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        raw: Any = sys.stdin.buffer.raw  # type: ignore[attr-defined]  # typeshed has no `raw`
        raw.name = "<stdin>"  # as Python names it; messages would say "0"
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def escape_unencodable() -> None:
    """Write characters that the locale does not have as escape sequences; they must not stop a command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def discard_unwritable() -> None:
    """Drop what cannot be written, so that the interpreter does not report it again when it exits."""
    for stream in (sys.stdout, sys.stderr):
        _discard_if_unwritable(stream)


def _discard_if_unwritable(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
