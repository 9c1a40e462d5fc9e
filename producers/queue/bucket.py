"""The constants of buckets that Lua and Python share."""

from __future__ import annotations

import msgspec

from producers.transport.script_messages import Message, decode

FULL_PACE = 1000
"""The slowdown of a user that is not slowed down, in thousandths of its pace."""


class StoredBucket(Message):
    """A user's bucket as it is stored, see bucket.lua. All times are us of Redis's clock.

    Attributes:
        slot_number: number of the next slot; that of a new bucket is the Unix time in ms.
        tat: the earliest next slot by the pace.
        hold: nothing is sent before.
        per_window: requests of the user in one window.
        window: the window.
        pace: time between two slots.
        slowdown_permille: how much longer the pace of a throttled user is; `FULL_PACE` for others.
        slowed_at: when it was slowed down.
        faster_at: when it may be sped up by a step.
        faster_after: how long after a step the next one may come.
        is_recovering: 1 after a step.
        good_at: the last good reply.
        waits: 1 if a schedule left the user out because its next slot depends on a request in flight.
        since_bulk: interactive claims of the user since a bulk one.
        is_changing: 1 while the ring is still that of an earlier rate.
        ring: of each of the last requests, the end of the window that it opened, or minus its slot while in flight. It
            has more than `per_window` after the rate was lowered, until their windows have ended.
        late: traders, each followed by the time until which a lost request of that lane may still be applied.
    """

    slot_number: int
    tat: int = 0
    hold: int = 0
    per_window: int = 0
    window: int = 0
    pace: int = 0
    slowdown_permille: int = FULL_PACE
    slowed_at: int = 0
    faster_at: int = 0
    faster_after: int = 0
    is_recovering: int = 0
    good_at: int = 0
    waits: int = 0
    since_bulk: int = 0
    is_changing: int = 0
    ring: list[int] = msgspec.field(default_factory=list)
    late: list[str | int] = msgspec.field(default_factory=list)


US_PER_S = 1_000_000

MAX_PER_WINDOW = 100
"""Maximum size of a ring buffer. Above 100/s the guard's window is shorter than a second: exact, but stricter."""

LOOK_AHEAD_US = 25_000
"""How early a slot is claimed, so that its worker can sleep right up to it. A timer's lateness and a round trip to
Redis fit in it many times, and a waiting claim occupies its worker for no longer."""

WINDOW_PAD_US = 1_000
"""Added to the exchange's window: its clock and ours tick in milliseconds."""

BUCKET_TTL_MS = 60_000
"""How long a bucket is kept after the latest of its times: slot, window, hold, slowdown."""


def next_slot_us(found: StoredBucket, now_us: int) -> int | None:
    """Return a user's next slot, as bucket.lua does; None if it depends on a request in flight."""
    if found.is_changing:
        return max(now_us, found.hold)
    guards = found.ring[: max(0, len(found.ring) - found.per_window + 1)]
    return None if any(ends < 0 for ends in guards) else max(now_us, found.tat, found.hold, *guards)


def late_until_us(found: StoredBucket, trader: str, now_us: int) -> int:
    """Return until when a lost request of a lane may still be applied; 0 if that is over."""
    ends = dict(zip(found.late[::2], found.late[1::2], strict=False)).get(trader, 0)
    return ends if isinstance(ends, int) and ends > now_us else 0


def decode_bucket(packed: bytes | None) -> StoredBucket:
    """Return a stored bucket; a new one if there is none, or it cannot be read."""
    try:
        return StoredBucket(0) if packed is None else decode(StoredBucket, packed)
    except msgspec.MsgspecError:
        return StoredBucket(0)
