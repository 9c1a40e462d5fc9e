"""The node of a Redis Cluster that owns a queue's slot: what a client knows of it, and which nodes it asks next.

Clients follow the owner of one slot, as those of sentinels follow the primary. redis-py's cluster client is not used:
it sends each command to the node of its key, and knows no client that is bound to one slot. Its `NodesManager` builds a
table of all 16,384 slots at each change, asks nodes one after the other for as long as a time-out each, and fails where
a node announces no host. Its parser of CLUSTER SLOTS is used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from redis.cluster import parse_cluster_slots
from redis.crc import key_slot
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from producers.transport.connections import NotConnected, PrimaryDemoted
from producers.transport.redis_errors import is_away, mark_from_cluster, refusal_code

Address: TypeAlias = tuple[str, int]

ASKED_NODES = 3
"""How many nodes one search asks at most, so that it ends within the time-out of a call. The next asks others."""

NAMELESS = "?"
"""The host of a node that announces a host name, but has none yet."""

_moved = re.compile(r"^MOVED (?P<slot>\d+) (?P<host>.*):(?P<port>\d+)$")


class SlotOwner:
    """What a client knows of the owner of a slot. No I/O, and no lock: each change replaces a value.

    Attributes:
        slot: the number of the slot.
        address: the owner; None if it must be asked for before the next connection: at first, and after it was lost.
    """

    def __init__(self, tag: str, seeds: Sequence[Address]) -> None:
        """Know nothing but the nodes in the DSN. `tag` is what the queue's keys begin with, such as "{copytrade}"."""
        self.slot = key_slot(tag.encode())
        self.address: Address | None = None
        self._seeds = tuple(seeds)
        self._nodes = tuple(seeds)

    def nodes_to_ask(self) -> tuple[Address, ...]:
        """Return the nodes that the next search asks. The search after that begins with others."""
        asked, others = self._nodes[:ASKED_NODES], self._nodes[ASKED_NODES:]
        self._nodes = others + asked
        return asked

    def learn(self, reply: Any, asked: Address) -> Address | None:
        """Take note of a node's reply to CLUSTER SLOTS; return the owner.

        None if the node knows no owner. It may have left the cluster, so what it says of other nodes does not count.
        """
        ranges = parse_cluster_slots(reply, current_host=asked[0])
        owner: Address | None = next(
            (entry["primary"] for (first, last), entry in ranges.items() if first <= self.slot <= last), None
        )
        if owner is None or owner[0] == NAMELESS:
            return None
        listed = (address for entry in ranges.values() for address in (entry["primary"], *entry["replicas"]))
        named = dict.fromkeys(address for address in listed if address[0] != NAMELESS)
        in_turn = (node for node in self._nodes if node in named)
        self._nodes = tuple(dict.fromkeys([*in_turn, *named, *self._seeds]))
        self.address = owner
        return owner

    def not_found(self, failures: Sequence[Exception]) -> Exception:
        """Return the error of a search that found no owner. A lasting refusal goes before a node that is away.

        Args:
            failures: what the nodes that were asked failed with; those that know no owner did not fail.
        """
        for failure in failures:
            if isinstance(failure, AuthenticationError) or not is_away(failure):
                return failure
        if not failures:
            return NotConnected(f"slot {self.slot}, which holds the queue, has no owner")
        error = NotConnected(str(failures[-1]))
        error.__cause__ = failures[-1]
        mark_from_cluster(error)
        return error

    def has_moved(self, error: RedisError, node: Address) -> bool:
        """Take note of an error on a connection to a node. Return whether the slot has another owner: "MOVED ...".

        Only the owner's count: connections to the one before it end with such errors too. That of another slot says
        nothing: an app's own key, used on the queue's client.
        """
        mark_from_cluster(error)
        code, named = refusal_code(error), _moved.match(str(error))
        if named is not None and int(named["slot"]) != self.slot:
            return False
        if node == self.address and (code in ("MOVED", "CLUSTERDOWN") or _is_lost(error)):
            self.address = None
            others = tuple(other for other in self._nodes if other != node)
            if named is not None and named["host"] != NAMELESS:
                owner = (named["host"] or node[0], int(named["port"]))
                self._nodes = (owner, *(other for other in others if other != owner), node)
            else:
                self._nodes = (*others, node)
        return code == "MOVED"


def _is_lost(error: RedisError) -> bool:
    """Return whether a node did not answer, or is the owner no longer. One that refuses a client may be the owner."""
    is_refusal = isinstance(error, ResponseError | AuthenticationError | NotConnected)
    return isinstance(error, PrimaryDemoted) or not is_refusal
