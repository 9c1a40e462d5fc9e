"""Whether a queue has the layout of this version: asked once for each pool of connections, before anything else."""

from __future__ import annotations

from typing import Any, TypeVar
from weakref import WeakSet

from producers.contract.keyspace import Keyspace
from producers.contract.layout import LAYOUT
from producers.errors import LayoutMismatch
from producers.transport.commands import EXISTS, GET
from producers.transport.plan import Plan, Step

T = TypeVar("T")

checked_pools: WeakSet[Any] = WeakSet()
"""The pools of connections to keyspaces whose layout was found to be this version's, and their number of shards the
program's, see `shards_check`."""


def with_layout_check(pool: Any, keys: Keyspace, plan: Plan[T] | Step[T]) -> Plan[T] | Step[T]:
    """Return a plan that refuses a queue of another layout before it does anything.

    Raises:
        LayoutMismatch: when it runs. Nothing was read or written.
    """
    return plan if pool in checked_pools else _check_first(pool, keys, plan)


def _check_first(pool: Any, keys: Keyspace, plan: Plan[T] | Step[T]) -> Plan[T]:
    layout = yield from fetch_layout(keys)
    if layout != LAYOUT:
        raise LayoutMismatch(refusal(layout))
    checked_pools.add(pool)
    return (yield from plan)


def fetch_layout(keys: Keyspace) -> Plan[str]:
    """Return the layout of a queue: its mark; without one "1" if it has keys of that layout, else this version's."""
    layout = yield from GET(keys.layout)
    if layout is None:
        old = yield from EXISTS(keys.old_schedule, keys.old_bulk_schedule, keys.old_rejected_keys, keys.batches)
        if not old:
            return LAYOUT
        layout = yield from GET(keys.layout)  # another program may have begun the queue since, and marked it
    return "1" if layout is None else layout.decode(errors="replace")


def is_later(layout: str) -> bool:
    """Return whether a layout is that of a later version, or no layout at all."""
    return not layout.isdecimal() or int(layout) > int(LAYOUT)


def refusal(layout: str, mark: str = LAYOUT) -> str:
    """Return why a queue of another layout, or with another number of shards, is refused, and what to do."""
    (version, _, shards), (_, _, own_shards) = layout.partition("/"), mark.partition("/")
    found = f"the queue has layout {layout}, and this version needs layout {LAYOUT}"
    if is_later(version):
        return f"{found}: update this program; nothing was read or written"
    if (shards or "1") != (own_shards or "1"):
        return (
            f"the queue began with COPYTRADE_SHARDS={shards or 1}, and this program has {own_shards or 1}: set it to"
            f" {shards or 1}, since the number never changes; nothing was read or written"
        )
    return f"{found}: stop all programs that use it, then run: copytrade migrate --yes; nothing was read or written"
