"""Which shards of a worker found its egress paused, or its breaker open.

A worker whose claims find the egress blocked in one shard sends nothing in the others either: the exchange, or the way
to it, is the same. Only the shard that is blocked claims its probes. It blocks the others only while it has somebody to
probe: else they would wait for a user that may never come.
"""

from __future__ import annotations

from collections.abc import Callable


class EgressBlock:
    """The shards that block an egress, and whom to tell when that changes."""

    def __init__(self) -> None:
        self._blocked: set[int] = set()
        self._blocking: set[int] = set()
        self._on_change: list[Callable[[], object]] = []

    def on_change(self, call: Callable[[], object]) -> None:
        """Have `call` called whenever other shards block the egress."""
        self._on_change.append(call)

    def stops(self, shard: int) -> bool:
        """Return whether a shard must not claim, since another one blocks the egress; its own probes it may claim."""
        return bool(self._blocking) and shard not in self._blocked

    def set(self, shard: int, *, is_blocked: bool, has_probe: bool) -> None:
        """Take note of what a claim in a shard found.

        Args:
            shard: its number.
            is_blocked: whether the egress is paused there, or its breaker open.
            has_probe: whether somebody is there to probe, or the probe is not due yet.
        """
        before = set(self._blocking)
        (self._blocked.add if is_blocked else self._blocked.discard)(shard)
        (self._blocking.add if is_blocked and has_probe else self._blocking.discard)(shard)
        if self._blocking != before:
            for call in self._on_change:
                call()
