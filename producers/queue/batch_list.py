"""Plans that list batches, newest first."""

from __future__ import annotations

from collections.abc import Sequence

from producers.contract.keyspace import Keyspace
from producers.contract.progress import Progress, merge_progress
from producers.contract.stored_values import Listing, read_each
from producers.queue.progress import StoredBatch, fetch_stored, read_progress
from producers.queue.results import MAX_PAGE_SIZE
from producers.transport.commands import ZRANGE_WITHSCORES, ZREM, ZREVRANGE
from producers.transport.plan import Plan

LIST_SIZE = 1000
"""IDs that one round trip reads."""

MAX_LISTED = 10_000
"""Batches among which those with a prefix are looked for: ten calls."""


def list_newest(keys: Keyspace, limit: int, skip: int = 0, prefix: str = "") -> Plan[Listing[Progress]]:
    """Return the progress of the newest batches after the first `skip`; drop expired ones from the list of batches.

    With a prefix, only batches whose IDs begin with it count, of the newest `MAX_LISTED`.
    """
    limit = min(limit, MAX_PAGE_SIZE)
    found: Listing[Progress] = Listing()
    own = (yield from _ids_with(keys, prefix))[skip:] if prefix else []
    while len(found) < limit:
        if prefix:
            names, own = own[: limit - len(found)], own[limit - len(found) :]
        else:
            listed = skip + len(found) + found.malformed  # so many stay in the list; the expired ones were dropped
            names = yield from ZREVRANGE(keys.batches, listed, listed + limit - len(found) - 1)
        if not names:
            break
        batch_ids = read_each(names, bytes.decode)
        stored: list[StoredBatch] = []
        for batch_id in batch_ids:
            batch = yield from fetch_stored(batch_id)
            if batch is None:
                yield from ZREM(keys.batches, batch_id)
            else:
                stored.append(batch)
        batches = read_progress(stored)
        found.extend(batches)
        found.malformed += batch_ids.malformed + batches.malformed
    return found


def _ids_with(keys: Keyspace, prefix: str) -> Plan[list[bytes]]:
    found: list[bytes] = []
    for first in range(0, MAX_LISTED, LIST_SIZE):
        names = yield from ZREVRANGE(keys.batches, first, first + LIST_SIZE - 1)
        found += [name for name in names if name.startswith(prefix.encode())]
        if len(names) < LIST_SIZE:
            break
    return found


def newest_ids(keys: Keyspace, count: int, prefix: str) -> Plan[list[tuple[bytes, float]]]:
    """Return the IDs of the newest batches of one of several shards, with when they began (Unix ms)."""
    count = MAX_LISTED if prefix else count
    listed = yield from ZRANGE_WITHSCORES(keys.batches, 0, count - 1, "REV")
    return [(name, began_ms) for name, began_ms in listed if name.startswith(prefix.encode())]


def merge_ids(parts: Sequence[Sequence[tuple[bytes, float]]]) -> list[bytes]:
    """Return the IDs of the batches of several shards, those that began last first."""
    began_ms: dict[bytes, float] = {}
    for name, at_ms in (entry for part in parts for entry in part):
        began_ms[name] = max(at_ms, began_ms.get(name, at_ms))
    return sorted(began_ms, key=lambda name: (began_ms[name], name), reverse=True)


def fetch_listed(keys: Keyspace, names: Sequence[bytes]) -> Plan[dict[bytes, StoredBatch]]:
    """Return the batches that one of several shards has; drop the others from its list of batches."""
    found: dict[bytes, StoredBatch] = {}
    for name in names:
        batch = yield from fetch_stored(name.decode(errors="replace"))
        if batch is None:
            yield from ZREM(keys.batches, name)
        else:
            found[name] = batch
    return found


def merge_listed(names: Sequence[bytes], parts: Sequence[dict[bytes, StoredBatch]]) -> Listing[Progress]:
    """Return the progress of batches from their parts in several shards."""
    found: Listing[Progress] = Listing()
    for name in names:
        read = read_progress([part[name] for part in parts if name in part])
        found.malformed += read.malformed
        if read:
            found.append(merge_progress(read))
    return found
