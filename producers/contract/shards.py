"""A queue that is spread over several keyspaces: which one holds a user, and what their names are. No I/O.

Each shard is a whole queue of its own for the users that it holds: their lanes, buckets, pauses, limits and pins, with
the parts of batches and egresses that concern them. The home is the keyspace that a queue without shards would have. It
holds what concerns no user: access keys, sealed credentials, the workers' announcements, the shares of the egresses,
and the number of shards, which is fixed for a queue's life. Each shard has this number too.
"""

from __future__ import annotations

from itertools import count
from zlib import crc32

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from producers.contract.keyspace import Keyspace
from producers.contract.layout import LAYOUT


def shard_of(user_id: str, shards: int) -> int:
    """Return the number of the shard that holds a user, from 0. The same in every program: CRC-32 of its UTF-8."""
    return crc32(user_id.encode(errors="surrogatepass")) % shards if shards > 1 else 0


def shard_keyspaces(name: str, shards: int) -> list[Keyspace]:
    """Return the keyspaces of the shards of a queue.

    Their slots are spread evenly over a cluster whose primaries have equal, contiguous parts of the slots: each has one
    in another `shards`-th of them.
    """
    return [Keyspace(_tag(name, number, shards)) for number in range(shards)]


def shards_mark(shards: int) -> str:
    """Return what the home's layout key says of a queue with this number of shards."""
    return LAYOUT if shards == 1 else f"{LAYOUT}/{shards}"


def _tag(name: str, number: int, shards: int) -> str:
    """Return the first tag of a shard's number whose slot lies in that part of the slots."""
    tags = (f"{{{name}/{number}{f'.{further}' if further else ''}}}" for further in count())
    return next(tag for tag in tags if key_slot(tag.encode()) * shards // SLOTS == number)
