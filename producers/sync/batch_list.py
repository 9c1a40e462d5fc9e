# Generated from producers/client/batch_list.py by `python -m ops.unasync`: change that file, not this one.
"""Listing the batches of all shards."""

from __future__ import annotations

from collections.abc import Sequence

from producers.contract.progress import Progress
from producers.contract.stored_values import Listing
from producers.queue import batch_list
from producers.queue.progress import StoredBatch
from producers.queue.results import MAX_PAGE_SIZE
from producers.sync.shard import Shard, run_on_all
from producers.sync.transport import run_plan

ACTION = "listing batches"


def list_newest(shards: Sequence[Shard], limit: int, skip: int, prefix: str) -> Listing[Progress]:
    """Return the progress of batches, as `QueueAdmin.batches` does."""
    if len(shards) == 1:
        plan = batch_list.list_newest(shards[0].keys, limit, skip, prefix)
        return run_plan(shards[0].redis, plan, ACTION)
    limit = min(limit, MAX_PAGE_SIZE)
    while True:
        listed = run_on_all(shards, lambda shard: batch_list.newest_ids(shard.keys, skip + limit, prefix), ACTION)
        names = batch_list.merge_ids(listed)[skip : skip + limit]
        parts = _fetch(shards, names)
        if all(any(name in part for part in parts) for name in names):
            return batch_list.merge_listed(names, parts)
        # Some have expired, and are listed no longer: others take their places.


def _fetch(shards: Sequence[Shard], names: Sequence[bytes]) -> list[dict[bytes, StoredBatch]]:
    return run_on_all(shards, lambda shard: batch_list.fetch_listed(shard.keys, names), ACTION)
