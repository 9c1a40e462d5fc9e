"""Idle connections of a pool: which one is used next, and which ones are closed."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

MAX_IDLE_S = 60.0
"""How long an idle connection is kept. Opening one takes about a millisecond, so a minute is enough to keep those of a
steady load; and proxies, load balancers and NATs drop silent connections after more than that (AWS and Azure: 4 minutes
and more), which could only be noticed by a time-out."""

C = TypeVar("C")


class IdleConnections(Generic[C]):
    """Idle connections in the order of their last use. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, C]] = deque()

    def add(self, connection: C, now_s: float) -> None:
        """Add a connection that has just been used."""
        self._entries.append((now_s, connection))

    def pop_latest(self) -> C | None:
        """Remove and return the connection that was used last, so that those that a load no longer needs grow old."""
        return self._entries.pop()[1] if self._entries else None

    def pop_expired(self, now_s: float) -> list[C]:
        """Remove and return the connections that have been idle for too long."""
        expired = []
        while self._entries and self._entries[0][0] + MAX_IDLE_S <= now_s:
            expired.append(self._entries.popleft()[1])
        return expired

    def pop_all(self) -> list[C]:
        """Remove and return all connections."""
        connections = [connection for _, connection in self._entries]
        self._entries.clear()
        return connections

    def expires_in_s(self, now_s: float) -> float | None:
        """Return in how many seconds the next connection expires; None if there is none."""
        return max(0.0, self._entries[0][0] + MAX_IDLE_S - now_s) if self._entries else None

    def __len__(self) -> int:
        return len(self._entries)
