"""What the dispatchers of a worker's shards share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from worker.process.egress_block import EgressBlock
from worker.process.hand import AttemptsInHand
from worker.queue.claims import Settled


@dataclass(frozen=True, slots=True)
class Shared:
    """What the dispatchers of a worker's shards share.

    Attributes:
        tasks: the running attempts, by token: arq waits for these tasks when it stops.
        on_settled: called with every settlement.
        hand: how many attempts may be in hand.
        block: which shards found the egress blocked.
    """

    tasks: dict[str, asyncio.Task[None]]
    on_settled: Callable[[Settled], None]
    hand: AttemptsInHand
    block: EgressBlock
