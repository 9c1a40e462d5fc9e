"""Moving a slot of a Redis Cluster to another primary, in both ways: for tests and chaos runs."""

from __future__ import annotations

import time
from collections.abc import Iterator

from redis.exceptions import RedisError

from ops.redis_cluster import ClusterSetup
from ops.redis_server import Valkey

MOVED_WITHIN_S = 20.0
POLL_INTERVAL_S = 0.02
KEYS_A_STEP = 100
MIGRATE_TIMEOUT_MS = 5_000


class MoveFailed(Exception):
    """A slot was not moved; where it was, it still is."""


def move_atomically(cluster: ClusterSetup, slot: int, target: Valkey) -> None:
    """Move a slot as Valkey 9 and newer can: the owner sends a snapshot and what is written meanwhile, then hands over.

    Raises:
        MoveFailed: Valkey gave it up, or it took longer than `MOVED_WITHIN_S`, and was cancelled.
        redis.exceptions.RedisError: a node did not answer, or refused.
    """
    source = cluster.owner(slot)
    if source is target:
        return
    cluster.command(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", cluster.node_id(target))
    deadline_s = time.monotonic() + MOVED_WITHIN_S
    while (state := _state(cluster, source)) != "success":
        if state in ("failed", "canceled"):
            raise MoveFailed(f"the move of slot {slot} ended: {state}")
        if time.monotonic() > deadline_s:
            cluster.command(source, "CLUSTER", "CANCELSLOTMIGRATIONS")
            raise MoveFailed(f"the move of slot {slot} took more than {MOVED_WITHIN_S:g} s, and was cancelled: {state}")
        time.sleep(POLL_INTERVAL_S)


def _state(cluster: ClusterSetup, source: Valkey) -> str:
    """Return the state of the latest move from a node; the list begins with it."""
    fields = cluster.command(source, "CLUSTER", "GETSLOTMIGRATIONS")[0]
    pairs = dict(zip(fields[::2], fields[1::2], strict=True))
    return str(pairs[b"state"].decode())


def move_key_by_key(cluster: ClusterSetup, slot: int, target: Valkey) -> Iterator[int]:
    """Move a slot as every version can. Yield how many keys were moved so far: at first 0, before the first one.

    The caller decides when it goes on. A move that is not carried on to its end stays open.

    Raises:
        redis.exceptions.RedisError: a node did not answer, or refused.
    """
    source = cluster.owner(slot)
    source_id, target_id = cluster.node_id(source), cluster.node_id(target)
    cluster.command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    cluster.command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    moved = 0
    yield moved
    login = ("AUTH2", cluster.user, cluster.password) if cluster.user else ("AUTH", cluster.password)
    while keys := cluster.command(source, "CLUSTER", "GETKEYSINSLOT", slot, KEYS_A_STEP):
        where = ("127.0.0.1", target.port, "", 0, MIGRATE_TIMEOUT_MS)
        cluster.command(source, "MIGRATE", *where, *(login if cluster.password else ()), "KEYS", *keys)
        moved += len(keys)
        yield moved
    for node in (target, source):
        cluster.command(node, "CLUSTER", "SETSLOT", slot, "NODE", target_id)


def other_primary(cluster: ClusterSetup, slot: int) -> Valkey:
    """Return a primary that does not own a slot.

    Raises:
        RuntimeError: no other node that answers is one.
    """
    source = cluster.owner(slot)
    for node in cluster.nodes:
        try:
            if node is not source and cluster.command(node, "INFO", "replication")["role"] == "master":
                return node
        except RedisError:
            continue
    raise RuntimeError(f"no other primary could take slot {slot}")
