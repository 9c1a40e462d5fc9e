"""How the rate of an egress is divided among the shards of a queue. No I/O.

The rate is one limit at the exchange, but each shard has a bucket of its own for the egress. So each shard gets a share
of the rate, in millionths, which together are one million. A shard paces by the egress's pace divided by its share.
Shares are fixed for an epoch, and move with the work from one epoch to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from producers.queue.bucket import LOOK_AHEAD_US
from worker.queue.rate import Pacing

WHOLE: Final = 1_000_000
"""All of an egress's rate."""

FLOORS = 32
"""All shards together always have one in this many parts of the rate, even those without work: what arrives there
leaves soon. It is also what a worker may use that does not know the shares."""

PRIOR = 0.05
"""The part of the rate that is kept for interactive changes that nobody has seen yet, in equal parts."""

BULK_PART = 0.1
"""The part of the rate that is kept for bulk changes while both priorities want all of it, as in a claim."""

MIN_CHANGE = 20_000
"""Shares stay as they are while none would change by more than this, or by more than a quarter of itself."""

MAX_DELAY_US = 50_000
"""How long a claim may be on its way at least, before it is refused because its share has ended."""

MIN_EPOCH_US = 1_000_000
MAX_SPENDING = 0.6
"""The part of an epoch in which a claim's slots are spent, at half of an equal share. The shares of an epoch are known
soon after the one before it has begun, so that a worker can use its share without a gap."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a shard has for an egress to send, in requests a second.

    Attributes:
        interactive_per_s: what users that are due for an interactive change can use.
        bulk_per_s: what users that are due for a bulk change can use.
        sent_per_s: what the egress sent for the shard lately.
    """

    interactive_per_s: float = 0.0
    bulk_per_s: float = 0.0
    sent_per_s: float = 0.0


def floor_share(shards: int) -> int:
    """Return the share that each shard has at least."""
    return WHOLE // (FLOORS * shards)


def pace_us(pacing: Pacing, share: int) -> int:
    """Return the time between two slots of the egress in a shard with this share."""
    return -(-pacing.egress_pace_us * WHOLE // share)


def spending_us(pacing: Pacing, share: int) -> int:
    """Return how long after a claim the slot that it takes may count against the egress, at most.

    A slot is claimed up to the look-ahead before it comes. By then the bucket may be ahead by the burst, and the slot
    counts for as long as the pace.
    """
    return LOOK_AHEAD_US + pacing.egress_burst_us + pace_us(pacing, share)


def epoch_us(pacing: Pacing, shards: int) -> int:
    """Return the length of an epoch: a second, and more for many shards or a low rate."""
    spending = spending_us(pacing, WHOLE // (2 * shards)) + MAX_DELAY_US
    return max(MIN_EPOCH_US, round(spending / MAX_SPENDING))


def allocate(demands: Sequence[Demand], *, egress_rate_per_s: float) -> list[int]:
    """Return the share of each shard; together they are `WHOLE`.

    Interactive changes come first: users that wait for one get what they can use, and those that wait for bulk changes
    what is left, but a tenth if they can use that. What nobody can use is divided equally. A shard that sends gets what
    it sends as if it were for bulk changes, since users that are served at once are not seen waiting.

    Args:
        demands: what each shard has to send.
        egress_rate_per_s: how many requests the egress may send.
    """
    shards = len(demands)
    interactive = [demand.interactive_per_s / egress_rate_per_s + PRIOR / shards for demand in demands]
    bulk = [(demand.bulk_per_s + demand.sent_per_s) / egress_rate_per_s for demand in demands]
    wanted, wanted_by_bulk = sum(interactive), sum(bulk)
    first = min(1.0 - min(BULK_PART, wanted_by_bulk), wanted)
    second = min(1.0 - first, wanted_by_bulk)
    equally = (1.0 - first - second) / shards
    floor = floor_share(shards)
    divisible = WHOLE - floor * shards
    of_first, of_second = first / wanted, second / wanted_by_bulk if wanted_by_bulk else 0.0
    shares = [
        floor + int(divisible * (of_first * own + of_second * of_bulk + equally))
        for own, of_bulk in zip(interactive, bulk, strict=True)
    ]
    shares[shares.index(max(shares))] += WHOLE - sum(shares)
    return shares


def has_changed(shares: Sequence[int], wanted: Sequence[int]) -> bool:
    """Return whether other shares are worth a change: while shares move, a part of the rate is not used."""
    return any(abs(new - old) > max(MIN_CHANGE, old // 4) for old, new in zip(shares, wanted, strict=True))
