"""What a worker knows of the shares of its egress, and what it may use of them now. No I/O.

Why the egress never exceeds its rate: a slot that a shard takes at a share counts against the egress for the shard's
pace, at that share of the rate. `usable` returns a share only if no epoch in which the slots of such a claim may count
gives the shard less. So at every moment the shards together count at most the shares of one epoch, which are one
million: the egress's rate. In an epoch whose shares are not known here, a worker uses the floor, which is never more
than the share. What it knows it knows by the home's clock, of which it has read one time: that was the time at some
moment between its question and the reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from producers.queue.bucket import US_PER_S
from worker.queue.rate import Pacing
from worker.queue.shares import MAX_DELAY_US, floor_share, spending_us


class Usable(NamedTuple):
    """A share that a claim may use.

    Attributes:
        share: in millionths.
        until_s: when the claim must have been made, `Clock.uptime`; None if it does not matter.
    """

    share: int
    until_s: float | None


@dataclass(frozen=True, slots=True)
class KnownShares:
    """The shares of two epochs, and when that was known.

    Attributes:
        epoch_us: length of an epoch.
        epoch: number of the first one: the time of the home divided by that length.
        shares: of each shard in that epoch.
        next_shares: the same in the next one.
        now_us: the home's time.
        asked_s: when the home was asked, `Clock.uptime`.
        answered_s: when the reply came.
    """

    epoch_us: int
    epoch: int
    shares: tuple[int, ...]
    next_shares: tuple[int, ...]
    now_us: int
    asked_s: float
    answered_s: float

    def share(self, shard: int, epoch: int) -> int:
        """Return the share of a shard in an epoch; the floor if it is not known."""
        known = {self.epoch: self.shares, self.epoch + 1: self.next_shares}.get(epoch)
        return floor_share(len(self.shares)) if known is None else known[shard]

    def usable(self, pacing: Pacing, shard: int, now_s: float) -> Usable:
        """Return the share that a claim may use now, by `Clock.uptime`, in a shard."""
        floor = floor_share(len(self.shares))
        epoch = self._earliest_us(now_s) // self.epoch_us
        latest_us = self._latest_us(now_s)
        share = self.share(shard, epoch)
        while share > floor:
            epoch += 1
            if self.share(shard, epoch) >= share:
                continue
            until_us = epoch * self.epoch_us - spending_us(pacing, share)
            if latest_us + MAX_DELAY_US <= until_us:
                return Usable(share, self.asked_s + (until_us - self.now_us) / US_PER_S)
            share = self.share(shard, epoch)
        return Usable(floor, None)

    def begins_s(self, epoch: int, fraction: float = 0.0) -> float:
        """Return when an epoch has certainly begun, `Clock.uptime`, or a fraction of it has passed."""
        return self.answered_s + ((epoch + fraction) * self.epoch_us - self.now_us) / US_PER_S

    def _earliest_us(self, now_s: float) -> int:
        return self.now_us + int((now_s - self.answered_s) * US_PER_S)

    def _latest_us(self, now_s: float) -> int:
        return self.now_us + int((now_s - self.asked_s) * US_PER_S) + 1
