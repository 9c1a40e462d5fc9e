"""Whether a queue has the number of shards that a program was told: asked before the first use of each keyspace.

The home says the number, and so does each shard, so that it is known where one of them is lost, or away:

- A shard that says it is used without asking the home.
- A shard that says nothing is new, or begun by a program that did not write it: the home's number is written there.
- A home that says nothing is new, or was lost. It gets the number if no shard says another.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any, TypeAlias

from redis.exceptions import RedisError

from producers.contract.layout import LAYOUT
from producers.contract.shards import shards_mark
from producers.errors import LayoutMismatch
from producers.transport.clients import keyspace_of
from producers.transport.commands import GET, SET
from producers.transport.layout_check import checked_pools, fetch_layout, refusal
from producers.transport.plan import Plan, Step
from producers.transport.shards import Shards

Asked: TypeAlias = Generator[tuple[Any, Plan[Any] | Step[Any]], Any, None]
"""What is asked of which client, to be sent the answer or its error. It raises LayoutMismatch before it writes."""


def shards_to_check(pool: Any) -> Shards[Any] | None:
    """Return the queue of a pool of connections that was not checked yet; None if it was, or has no shards."""
    return None if pool in checked_pools else getattr(pool, "shards", None)


def check_number(pool: Any, shards: Shards[Any]) -> Asked:
    """Check the number of shards before the first use of a shard, or of the home; write it where it is missing.

    Raises:
        LayoutMismatch: the queue has another number of shards, or none, or another version wrote it.
    """
    shard = next((client for client in shards.clients if client.connection_pool is pool), None)
    if shard is None:
        yield from _check_home(shards)
    else:
        yield from _check_shard(shard, shards)
    checked_pools.add(pool)


def _check_shard(shard: Any, shards: Shards[Any]) -> Asked:
    keys = keyspace_of(shard)
    layout = yield shard, fetch_layout(keys)
    if layout != LAYOUT:
        raise LayoutMismatch(refusal(layout))
    if not (yield from _says_number(shard, shards)):
        yield from _check_home(shards)
        yield shard, SET(keys.shards, len(shards.clients), "NX")
        yield from _says_number(shard, shards)


def _check_home(shards: Shards[Any]) -> Asked:
    home = shards.home
    keys = keyspace_of(home)
    layout = yield home, fetch_layout(keys)
    if layout == LAYOUT:
        said = yield home, GET(keys.layout)
        if said is None:
            for shard in shards.clients:
                yield from _says_number(shard, shards)
            yield home, SET(keys.layout, keys.mark, "NX")
            said = yield home, GET(keys.layout)
        layout = (said or b"").decode(errors="replace")
    if layout != keys.mark:
        is_contradicted = (layout.partition("/")[0] == LAYOUT) and (yield from _is_own_number_known(shards))
        raise LayoutMismatch(_contradiction(layout, keys.mark) if is_contradicted else refusal(layout, keys.mark))


def _is_own_number_known(shards: Shards[Any]) -> Generator[tuple[Any, Step[Any]], Any, bool]:
    """Return whether one of the shards that answer says the number that this program was told."""
    for shard in shards.clients:
        with suppress(LayoutMismatch, RedisError):
            if (yield from _says_number(shard, shards)):
                return True
    return False


def _contradiction(layout: str, mark: str) -> str:
    found, own = layout.partition("/")[2] or "1", mark.partition("/")[2]
    return (
        f"the home of the queue says COPYTRADE_SHARDS={found}, and its shards say {own}, as this program does: the home"
        f" was lost, and a program with {found} began it anew: see ops/runbook/redis-was-lost.md; nothing was read or"
        " written"
    )


def _says_number(shard: Any, shards: Shards[Any]) -> Generator[tuple[Any, Step[Any]], Any, bool]:
    """Return whether a shard says how many there are.

    Raises:
        LayoutMismatch: it says another number.
    """
    said = yield shard, GET(keyspace_of(shard).shards)
    if said is None:
        return False
    mark = shards_mark(len(shards.clients))
    found = f"{LAYOUT}/{said.decode(errors='replace')}"
    if found != mark:
        raise LayoutMismatch(refusal(found, mark))
    return True
