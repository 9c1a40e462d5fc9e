"""Reading dead letters in order of time: a page of the newest, or all of them from the oldest on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

from producers.client.shard import Shard, run_on_all
from producers.queue import dead_letter_pages, dead_letters
from producers.queue.dead_letter_index import IndexEntry, newest_us, select_part
from producers.queue.dead_letter_pages import LOOK_AT, DeadLetterPage, merge_parts
from producers.queue.dead_letter_selection import Selection
from producers.queue.dead_letters import READ_BATCH_SIZE, DeadLetter
from producers.queue.slicing import slices
from producers.transport.runner import run_plan

ACTION = "listing dead letters"


async def newest_page(
    shards: Sequence[Shard], selection: Selection, start_us: float | None, limit: int
) -> DeadLetterPage:
    """Return a page of dead letters, as `DeadLetters.page` does."""
    if len(shards) == 1:
        plan = dead_letter_pages.newest_page(shards[0].keys, selection, start_us=start_us, limit=limit)
        return await run_plan(shards[0].redis, plan, ACTION)
    look_at = limit if selection.is_whole_index else LOOK_AT
    parts = await run_on_all(
        shards,
        lambda shard: select_part(shard.keys, selection, start_us=start_us, newest_first=True, limit=look_at),
        ACTION,
    )
    shown, next_us = merge_parts(parts, limit)
    shard_with = {entry.job_id: shard for shard, part in zip(shards, parts, strict=True) for entry in part.entries}
    of_shard: defaultdict[int, list[IndexEntry]] = defaultdict(list)
    for entry in shown:
        of_shard[shard_with[entry.job_id].number].append(entry)
    fetched = await run_on_all(shards, lambda shard: dead_letters.fetch(shard.keys, of_shard[shard.number]), ACTION)
    letters = {letter.job_id: letter for part in fetched for letter in part}
    in_order = [letters[entry.job_id] for entry in shown if entry.job_id in letters]
    return DeadLetterPage(in_order, sum(part.looked_at for part in parts), next_us)


class DeadLetterListing:
    """The selected dead letters. Iterating reads them, oldest first.

    Attributes:
        malformed: how many index entries were left out because they cannot be read; of those that iterating has
            reached.
    """

    def __init__(self, shards: Sequence[Shard], selection: Selection) -> None:
        self.malformed = 0
        self._shards = shards
        self._selection = selection

    async def __aiter__(self) -> AsyncIterator[DeadLetter]:
        """Read the dead letters.

        Raises:
            QueueUnavailable: Redis did not answer.
        """
        self.malformed = 0
        sources = [self._read(shard) for shard in self._shards]
        first: list[DeadLetter | None] = [await anext(source, None) for source in sources]
        while found := [(letter.ended_at_ms, at) for at, letter in enumerate(first) if letter is not None]:
            _, oldest = min(found)
            letter = first[oldest]
            if letter is not None:
                yield letter
            first[oldest] = await anext(sources[oldest], None)

    async def _read(self, shard: Shard) -> AsyncIterator[DeadLetter]:
        """Read the dead letters of a shard."""
        keys = shard.keys
        newest = await run_plan(shard.redis, newest_us(keys, self._selection), ACTION)
        start_us: float | None = None
        while True:
            plan = select_part(keys, self._selection, start_us=start_us, end_us=newest)
            part = await run_plan(shard.redis, plan, ACTION)
            self.malformed += part.malformed
            for entries in slices(part.entries, READ_BATCH_SIZE):
                for dead_letter in await run_plan(
                    shard.redis, dead_letters.fetch(keys, entries), "reading dead letters"
                ):
                    yield dead_letter
            start_us = part.next_us
            if start_us is None:
                return
