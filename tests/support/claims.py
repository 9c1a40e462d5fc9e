"""Claims as the claim script returns them, for tests without Redis."""

from __future__ import annotations

from typing import Any

from producers.contract import keyspace
from producers.contract.codec import encode_change
from tests.support.changes import change
from worker.queue.claims import Claim, Stored

ACCEPTED_MS = 1_000_000
TTL_MS = 60_000
PAYLOAD = encode_change(change(), enqueued_at_ms=ACCEPTED_MS, ttl_ms=TTL_MS)


def claim(**changed: Any) -> Claim:
    """Return a claim of a valid change of user 1001, with some fields changed."""
    fields: dict[str, Any] = {
        "lane": keyspace.lane("1001", "t1"),
        "job_id": "j1",
        "session_id": "w",
        "token": "1.1",
        "slot_at_s": 0.0,
        "slot_number": 0,
        "lost_deliveries": 0,
        "stored": Stored(PAYLOAD),
        "history": None,
        "redis_clock_offset_ms": 0.0,
    }
    return Claim(**(fields | changed))
