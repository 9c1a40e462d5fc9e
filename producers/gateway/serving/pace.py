"""How fast a peer brings a body, and takes an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Progress:
    """When an amount last moved on by as much as it must."""

    since_s: float = 0.0
    amount: int = 0

    def stalled_s(self, now_s: float, amount: int, least: int) -> float:
        """Return for how long an amount has not moved on by `least`."""
        if amount - self.amount >= least:
            self.since_s, self.amount = now_s, amount
        return now_s - self.since_s


class CountedWrites:
    """A transport that counts what is written to it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._written_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def sent_bytes(self) -> int:
        """What the peer has taken, or the operating system for it."""
        unsent: int = self.get_write_buffer_size()
        return self._written_bytes - unsent

    def write(self, data: bytes) -> None:
        """Write to the transport."""
        self._written_bytes += len(data)
        self._transport.write(data)
