"""The Lua part of all scripts that finish changes, with the constants it needs."""

from __future__ import annotations

from producers.contract.codec import BULK_BYTES, MAX_PAYLOAD_BYTES
from producers.contract.messages import Outcome
from producers.transport.scripts import Part

DEAD_OUTCOMES = (Outcome.REJECTED, Outcome.UNAUTHORIZED, Outcome.EXHAUSTED)
"""Changes that finish with one of these are kept as dead letters."""

FINISH = Part(
    "producers.queue",
    "finish.lua",
    {
        "DEAD_OUTCOMES": frozenset(DEAD_OUTCOMES),
        "MAX_PAYLOAD_BYTES": MAX_PAYLOAD_BYTES,
        "BULK_BYTES": BULK_BYTES,
    },
)
