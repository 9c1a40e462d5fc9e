"""Merging the results of a batch from several shards, by time. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from producers.queue.cursors import format_cursor, join_positions, order_of
from producers.queue.results import ResultPage


def part_size(limit: int, shards: int) -> int:
    """Return how many results to read of each shard for a page of so many."""
    return -(-limit // shards)


def merge_pages(batch_id: str, starts: Sequence[str], pages: Mapping[int, ResultPage], limit: int) -> ResultPage:
    """Return up to `limit` results of the pages, in order of time.

    Where a shard was not read to its end, later results of the others wait for the next page: they are read again.

    Args:
        batch_id: the batch.
        starts: the position in each shard's stream after which its page begins.
        pages: the page of each shard that has a part of the batch.
        limit: how many results to return at most.
    """
    ends = {shard: page.cursor.rpartition("/")[2] for shard, page in pages.items()}
    full_ends = [order_of(ends[shard]) for shard, page in pages.items() if page.is_full]
    rows = [
        (order_of(position), shard, position, result)
        for shard, page in pages.items()
        for position, result in zip(page.positions, page.results, strict=True)
    ]
    rows.sort(key=lambda row: row[:2])
    if full_ends:
        rows = [row for row in rows if row[0] <= min(full_ends)]
    del rows[limit:]
    positions, joined, taken = list(starts), [], dict.fromkeys(pages, 0)
    for _, shard, position, _ in rows:
        positions[shard] = position
        taken[shard] += 1
        joined.append(join_positions(positions))
    used = [shard for shard, page in pages.items() if taken[shard] == len(page.results)]
    for shard in used:  # what is behind its last result was looked at, and left out
        positions[shard] = ends[shard]
    return ResultPage(
        results=[result for _, _, _, result in rows],
        positions=joined,
        cursor=format_cursor(batch_id, join_positions(positions)),
        complete=len(used) == len(pages) and all(page.complete for page in pages.values()),
        malformed=sum(pages[shard].malformed for shard in used),
        is_full=len(used) < len(pages) or any(page.is_full for page in pages.values()),
    )
