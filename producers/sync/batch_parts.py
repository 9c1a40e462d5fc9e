# Generated from producers/client/batch_parts.py by `python -m ops.unasync`: change that file, not this one.
"""Closing and cancelling a batch in all shards, and sending its dead letters again: also where it has no part yet."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress

from producers.contract.messages import Priority
from producers.errors import BatchNotFound, DeadLetterNotFound
from producers.queue import batches, dead_letters, replay
from producers.queue.cancel import CancelReport
from producers.queue.dead_letter_selection import Selection
from producers.queue.fan_out import FanOutReport
from producers.queue.replay import FailedChanges, NextRetry
from producers.queue.submit import SubmitOptions
from producers.settings import ProducerSettings
from producers.sync.shard import Shard, run_on_all, run_where_found
from producers.sync.transport import run_plan
from producers.tracing import open_tracing
from producers.transport.plan import Plan

NOTHING_FAILED = (DeadLetterNotFound, BatchNotFound)
"""What a shard answers that has no dead letter of a batch."""


def seal_appended(shards: Sequence[Shard], batch_id: str, ttl_ms: int) -> None:
    """Close a batch to which changes were added one by one, as `Batch.seal` does; `ttl_ms` is that of results."""
    action = f"sealing batch {batch_id}"
    found = run_where_found(
        shards,
        lambda shard: batches.seal_appended(shard.keys, batch_id, result_ttl_ms=ttl_ms),
        action,
        BatchNotFound,
    )
    options = SubmitOptions(lane_limit=0, content=batches.APPENDED)
    _seal(_without(shards, found), batch_id, options, ttl_ms, action)


def cancel(shards: Sequence[Shard], batch_id: str, ttl_ms: int) -> CancelReport:
    """Cancel a batch, as `Batch.cancel` does; `ttl_ms` is that of results."""
    action = f"cancelling batch {batch_id}"
    found = run_where_found(
        shards,
        lambda shard: batches.cancel_batch(shard.keys, batch_id, result_ttl_ms=ttl_ms),
        action,
        BatchNotFound,
    )
    reports = [report for _, report in found]
    others = _without(shards, found)
    if others:
        shard = found[0][0]
        content, priority = run_plan(shard.redis, batches.fetch_content(shard.keys, batch_id), action)
        reports += run_on_all(
            others,
            lambda shard: batches.cancel_absent(shard.keys, batch_id, content, priority, result_ttl_ms=ttl_ms),
            action,
        )
    return CancelReport.merged(reports)


def next_retry(shards: Sequence[Shard], letters: Selection, batch_id: str) -> NextRetry | None:
    """Return what a retry of these dead letters of a batch enqueues, as `Batch.next_retry` does."""
    action = f"reading the dead letters of batch {batch_id}"
    parts = run_on_all(shards, lambda shard: replay.count_failed(shard.keys, letters), action)
    failed = FailedChanges.merged(parts)
    newest = failed.newest_replay_id
    if newest is None:
        return None
    for number in itertools.count():
        new_id = dead_letters.retry_batch_id(batch_id, newest, number)
        if not _was_cancelled(shards, new_id, action):
            break
    return NextRetry(new_id, failed.counts, parts.index(max(parts, key=FailedChanges.newest_us)))


def retry(
    shards: Sequence[Shard], letters: Selection, batch_id: str, new_id: str | None, settings: ProducerSettings
) -> FanOutReport:
    """Send dead letters of a batch again as a batch, as `Batch.retry_failed` does."""
    action = f"retrying the failed changes of batch {batch_id}"
    last = shards
    if new_id is None and len(shards) > 1:  # the shards must agree on it
        following = next_retry(shards, letters, batch_id)
        if following is not None:  # the newest letter names the batch: it goes last, for a call that is repeated
            new_id, last = following.batch_id, [shards[following.newest_shard]]
    with open_tracing(settings).send_many() as sending:

        def plan(shard: Shard) -> Plan[FanOutReport]:
            return replay.retry_batch(shard.keys, batch_id, letters, new_id, settings, sending)

        found: list[tuple[Shard, FanOutReport]] = []
        if last is not shards:
            others = [shard for shard in shards if shard not in last]
            with suppress(*NOTHING_FAILED):
                found += run_where_found(others, plan, action, NOTHING_FAILED)
        found += run_where_found(last, plan, action, NOTHING_FAILED)
    report = FanOutReport.merged([part for _, part in found])
    options = SubmitOptions(lane_limit=0, priority=Priority.BULK, content=replay.RETRY)
    _seal(_without(shards, found), report.batch_id, options, settings.result_ttl_ms, action)
    return report


def _was_cancelled(shards: Sequence[Shard], batch_id: str, action: str) -> bool:
    return any(run_on_all(shards, lambda shard: replay.was_cancelled(shard.keys, batch_id), action))


def _without(shards: Sequence[Shard], found: Sequence[tuple[Shard, object]]) -> list[Shard]:
    numbers = {shard.number for shard, _ in found}
    return [shard for shard in shards if shard.number not in numbers]


def _seal(shards: Sequence[Shard], batch_id: str, options: SubmitOptions, ttl_ms: int, action: str) -> None:
    """Close a batch in shards that have no part of it: none can begin there any more."""
    run_on_all(shards, lambda _: batches.seal(batch_id, options, lane_full_count=0, result_ttl_ms=ttl_ms), action)
