"""Names and numbers that Redis stores, read so that one odd entry stops nobody. No I/O.

Whoever may write to Redis may have written something else under a key of ours: bytes that are no text, a number that is
none. The parser of one entry raises ValueError or KeyError for it; `read_each` leaves that entry out and counts it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

E = TypeVar("E")
T = TypeVar("T")

MAX_UNIX_MS = 253_402_300_799_999
"""The end of the year 9999, the last that Python can show."""


class Listing(list[T]):
    """A list of what could be read.

    Attributes:
        malformed: how many stored entries were left out, because they cannot be read.
    """

    def __init__(self, items: Iterable[T] = (), *, malformed: int = 0) -> None:
        super().__init__(items)
        self.malformed = malformed


def read_each(entries: Iterable[E], parse: Callable[[E], T]) -> Listing[T]:
    """Return the entries parsed, without those for which `parse` raises ValueError or KeyError."""
    found = Listing[T]()
    for entry in entries:
        try:
            found.append(parse(entry))
        except (ValueError, KeyError):
            found.malformed += 1
    return found


def number(stored: bytes | None) -> float | None:
    """Return a stored number; None if it is absent, not a number, or not finite. Scripts treat these alike."""
    try:
        value = float(stored or b"")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def unix_ms(stored: bytes | float) -> int:
    """Return a stored time.

    Raises:
        ValueError: it is not a number, or not a time from 1970 to 9999.
    """
    value = float(stored)
    if not 0 <= value <= MAX_UNIX_MS:
        raise ValueError(f"{stored!r} is not a time in milliseconds")
    return int(value)
