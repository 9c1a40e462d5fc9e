"""Checks of the cluster that a queue's slots are in. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from producers.contract.wording import plural
from producers.monitor.checks import Check, fail, ok, warn

SLOTS = 16_384


def check_cluster(slots: Mapping[str, int], owner: str, replicas: int | None, state: Mapping[str, str]) -> Check:
    """Check what the owner of some of the queue's slots says of its cluster.

    Args:
        slots: the tags of the keyspaces that it holds, each with its slot.
        owner: its address.
        replicas: how many replicas it has; None if this user may not ask.
        state: its reply to CLUSTER INFO; empty if this user may not ask.
    """
    detail = f"{', '.join(f'{tag} (slot {slot})' for tag, slot in slots.items())} on {owner}"
    if replicas is not None:
        detail += f", with {plural(replicas, 'replica')}"
    if state:
        detail += f"; the cluster has {plural(int(state.get('cluster_size', 0)), 'primary')}"
    if state.get("cluster_state", "ok") != "ok":
        served = f"{int(state.get('cluster_slots_ok', 0)):,} of {SLOTS:,} slots are served"
        return fail("cluster", f"{detail}; its state is {state['cluster_state']}, and {served}", "start its nodes")
    if replicas == 0:
        hint = "give that node a replica (CLUSTER REPLICATE): without one, the queue stands still while it is away"
        return warn("cluster", detail, hint)
    return ok("cluster", detail)


def check_unserved(name: str, tag: str, slot: int, problem: str, remedy: str) -> Check:
    """Return the finding for a keyspace that does not answer.

    Args:
        name: what it is: "shard 2" or "home"; "" for the only one of a queue.
        tag: what its keys begin with.
        slot: its slot.
        problem: why it does not answer.
        remedy: what to do; "" if that is not known.
    """
    where = f"{name}, {tag} (slot {slot})" if name else f"{tag} (slot {slot})"
    return fail("cluster", f"{where}: {problem}", remedy or "look at the log of the node that owns the slot")
