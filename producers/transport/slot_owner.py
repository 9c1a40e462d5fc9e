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
from redis.exceptions import RedisError, ResponseError

from producers.transport.redis_errors import refusal_code

Address: TypeAlias = tuple[str, int]

ASKED_NODES = 3
"""How many nodes one search asks at most, so that it ends within the time-out of a call. The next asks others."""

_moved = re.compile(r"^MOVED \d+ (?P<host>.*):(?P<port>\d+)$")


class SlotOwner:
    """What a client knows of the owner of a slot. No I/O.

    Attributes:
        slot: the number of the slot.
        address: the owner, as far as known; None before the first search, and after it has changed.
        is_confirmed: whether the owner need not be asked for before the next connection.
    """

    def __init__(self, tag: str, seeds: Sequence[Address]) -> None:
        """Know nothing but the nodes in the DSN. `tag` is what the queue's keys begin with, such as "{copytrade}"."""
        self.slot = key_slot(tag.encode())
        self.address: Address | None = None
        self.is_confirmed = False
        self._seeds = tuple(seeds)
        self._nodes = list(seeds)

    @property
    def unknown(self) -> str:
        """Why there is no connection if no node names an owner."""
        return f"slot {self.slot}, which holds the queue, has no owner"

    def nodes_to_ask(self) -> list[Address]:
        """Return the nodes that the next search asks. The search after that begins with others."""
        asked, others = self._nodes[:ASKED_NODES], self._nodes[ASKED_NODES:]
        self._nodes = others + asked
        return asked

    def learn(self, reply: Any, asked: Address) -> Address | None:
        """Take note of a node's reply to CLUSTER SLOTS; return the owner, None if the node knows none."""
        ranges = parse_cluster_slots(reply, current_host=asked[0])
        known = [address for entry in ranges.values() for address in (entry["primary"], *entry["replicas"])]
        self._nodes = list(dict.fromkeys([*(node for node in self._nodes if node in known), *known, *self._seeds]))
        for (first, last), entry in ranges.items():
            if first <= self.slot <= last:
                self.address = entry["primary"]
                self.is_confirmed = True
                return self.address
        return None

    def doubt(self) -> None:
        """Ask before the next connection, other nodes first: the owner did not answer, or does not serve the slot."""
        self.is_confirmed = False
        if self.address in self._nodes:
            self._nodes.remove(self.address)
            self._nodes.append(self.address)

    def has_moved(self, error: RedisError, node: Address) -> bool:
        """Take note of what a node replied. Return whether it said that the slot has another owner: "MOVED ..."."""
        code = refusal_code(error)
        if not isinstance(error, ResponseError) or code in ("MOVED", "CLUSTERDOWN"):
            self.doubt()
        if code != "MOVED":
            return False
        self.address = None
        if (named := _moved.match(str(error))) is not None:
            owner = (named["host"] or node[0], int(named["port"]))
            self._nodes = [owner, *(other for other in self._nodes if other != owner)]
        return True
