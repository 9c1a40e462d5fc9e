"""Checks of the cluster that a queue's slot is in. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from producers.contract.wording import plural
from producers.monitor.checks import Check, fail, ok, warn

SLOTS = 16_384


def check_cluster(slot: int, owner: str, replicas: int, state: Mapping[str, str]) -> Check:
    """Check what the owner of the slot says of its cluster.

    Args:
        slot: the slot that holds the queue.
        owner: address of the node that owns it.
        replicas: how many replicas that node has.
        state: its reply to CLUSTER INFO; empty if this user may not ask.
    """
    detail = f"slot {slot}, which holds the queue, is on {owner}, with {plural(replicas, 'replica')}"
    if state:
        detail += f"; the cluster has {plural(int(state.get('cluster_size', 0)), 'primary')}"
    if state.get("cluster_state", "ok") != "ok":
        served = f"{int(state.get('cluster_slots_ok', 0)):,} of {SLOTS:,} slots are served"
        return fail("cluster", f"{detail}; its state is {state['cluster_state']}, and {served}", "start its nodes")
    if not replicas:
        hint = "give that node a replica (CLUSTER REPLICATE): without one, the queue stands still while it is away"
        return warn("cluster", detail, hint)
    return ok("cluster", detail)
