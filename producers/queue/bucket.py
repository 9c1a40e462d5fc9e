"""The Lua part that keeps the buckets of users and egresses, with the constants that other scripts share."""

from __future__ import annotations

from producers.contract import keyspace
from producers.transport.scripts import Constant, Part

US_PER_S = 1_000_000

MAX_PER_WINDOW = 100
"""Maximum size of a ring buffer. Above 100/s the guard's window is shorter than a second: exact, but stricter."""

LOOK_AHEAD_US = 25_000
"""How early a slot is claimed, so that its worker can sleep right up to it. A timer's lateness and a round trip to
Redis fit in it many times, and a waiting claim occupies its worker for no longer."""

WINDOW_PAD_US = 1_000
"""Added to the exchange's window: its clock and ours tick in milliseconds."""

BUCKET_TTL_MS = 60_000
"""How long a bucket is kept after the latest of its times: slot, window, reservation, hold, slowdown."""

RESERVED = 0.5
"""Fraction of a schedule's score (ms) that marks a lane with a reserved place among the lanes of its user."""

LATE = "late "
"""Begins the field of a bucket that tells until when (us) a request of a lane may still be applied although its fate is
unknown; the lane's trader follows. The lane's next change is not sent before."""

FULL_PACE = 1000
"""The `slow` field of a user that is not slowed down, in thousandths of its pace."""

BUCKET_CONSTANTS: dict[str, Constant] = {
    "BUCKET_TTL_MS": BUCKET_TTL_MS,
    "RESERVED": RESERVED,
    "FULL_PACE": FULL_PACE,
    "LATE": LATE,
}

BUCKET = Part(
    "producers.queue",
    "bucket.lua",
    {
        "BUCKET_SUFFIX": keyspace.BUCKET_SUFFIX,
        "MAX_PER_WINDOW": MAX_PER_WINDOW,
        "LOOK_AHEAD": LOOK_AHEAD_US,
        "WINDOW_PAD": WINDOW_PAD_US,
        **BUCKET_CONSTANTS,
    },
)
