"""Job IDs that sort by the time at which they were made."""

from __future__ import annotations

import secrets
import time

MAX_SEQUENCE = 0xFFFF


class SortableIds:
    """A generator of IDs of 32 hex digits: 48 bits of milliseconds, 16 bits of sequence, 64 random bits.

    IDs of one generator sort in the order in which they were made; those of several sort by millisecond.
    """

    def __init__(self) -> None:
        self._last_ms = 0
        self._sequence = 0

    def next(self) -> str:
        """Return a new ID."""
        now_ms = max(time.time_ns() // 1_000_000, self._last_ms)
        if now_ms > self._last_ms:
            self._last_ms, self._sequence = now_ms, 0
        else:
            self._sequence += 1
            if self._sequence > MAX_SEQUENCE:
                self._last_ms, self._sequence = now_ms + 1, 0
        return f"{self._last_ms:012x}{self._sequence:04x}{secrets.randbits(64):016x}"
