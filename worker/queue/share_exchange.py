"""The scripts by which workers agree on the shares of an egress, and what they are given and reply."""

from __future__ import annotations

from redis.asyncio import Redis

from producers.contract.layout import LAYOUT
from producers.queue.parts import CLOCK
from producers.transport.clients import keyspace_of
from producers.transport.script_messages import Message, decode, encode
from producers.transport.scripts import Script

KEEP_MS = 3_600_000
"""How long the shares of an egress without workers are kept. Then an egress begins with small shares."""


SAMPLE = 32
"""Due users of a priority whose changes are counted: more would tell little more about how much there is to send."""


class SharesRequest(Message):
    """What shares.lua is given.

    Attributes:
        egress: name of the egress, escaped.
        epoch_us: length of an epoch.
        floor: the share that each shard has at least.
        wanted: the share of each shard in the next epoch, if nobody has decided it.
    """

    egress: str
    epoch_us: int
    floor: int
    wanted: list[int]


class SharesReply(Message):
    """What shares.lua replies; the attributes are those of `KnownShares`."""

    now_us: int
    epoch_us: int
    epoch: int
    shares: list[int]
    next_shares: list[int]


class DemandRequest(Message):
    """What demand.lua is given.

    Attributes:
        egress: name of the egress, escaped.
        user_requests: how many requests a user may send within an epoch, at most.
    """

    egress: str
    user_requests: int


class DemandReply(Message):
    """What demand.lua replies.

    Attributes:
        interactive: requests that may be sent within an epoch for users that are due for an interactive change, and
            pinned to the egress or to none.
        bulk: the same for bulk changes.
        taken: how many slots of the egress were taken in the shard.
    """

    interactive: int
    bulk: int
    taken: int


SHARES = Script.load(
    "worker.queue",
    "shares.lua",
    parts=[CLOCK],
    constants={"KEEP_MS": KEEP_MS, "LAYOUT": LAYOUT},
    request=SharesRequest,
    reply=SharesReply,
    runs_when_full=True,
)
DEMAND = Script.load(
    "worker.queue",
    "demand.lua",
    parts=[CLOCK],
    constants={"SAMPLE": SAMPLE},
    request=DemandRequest,
    reply=DemandReply,
)


async def fetch_shares(home: Redis, request: SharesRequest) -> SharesReply:
    """Return the shares of this epoch and the next one; decide those of the next one if nobody has.

    Raises:
        redis.exceptions.RedisError: the home did not answer.
    """
    return decode(SharesReply, await SHARES.run(home, keyspace_of(home), [encode(request)]))


async def fetch_demand(shard: Redis, request: DemandRequest) -> DemandReply:
    """Return what a shard has for an egress to send.

    Raises:
        redis.exceptions.RedisError: the shard did not answer.
    """
    return decode(DemandReply, await DEMAND.run(shard, keyspace_of(shard), [encode(request)]))
