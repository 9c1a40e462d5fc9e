"""The sessions of the model: what the served clock says of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from producers.queue.parts import BEATS_PER_TTL
from tests.support.lanes import DEFAULTS

TTL_MS = round(DEFAULTS.session_ttl_s * 1000)
MOST_SERVED_MS = 2 * TTL_MS // BEATS_PER_TTL
"""Of each gap between renewals."""


@dataclass
class SessionRow:
    """A session.

    Attributes:
        served_ms: the served clock at its last renewal.
        renewals: how often it was renewed.
        epoch: how often the clock of Redis had been set forward by its last renewal.
    """

    served_ms: int
    renewals: int
    epoch: int


@dataclass
class Sessions:
    """All sessions that live.

    Attributes:
        rows: by ID.
        served_ms: the served clock.
        last_ms: the last renewal by anybody.
        opened: IDs that were ever opened.
    """

    rows: dict[str, SessionRow] = field(default_factory=dict)
    served_ms: int = 0
    last_ms: int | None = None
    opened: set[str] = field(default_factory=set)

    def renew(self, session: str, now_ms: int, epoch: int) -> list[str] | None:
        """Open or renew a session; return those that have lapsed. None if it is dead itself."""
        if session in self.opened and session not in self.rows:
            return None
        gap_ms = 0 if self.last_ms is None else max(0, now_ms - self.last_ms)
        self.served_ms += min(gap_ms, MOST_SERVED_MS)
        self.last_ms = now_ms
        before = self.rows.get(session)
        self.rows[session] = SessionRow(self.served_ms, before.renewals + 1 if before else 1, epoch)
        self.opened.add(session)
        return [each for each, row in self.rows.items() if self.served_ms - row.served_ms > TTL_MS]
