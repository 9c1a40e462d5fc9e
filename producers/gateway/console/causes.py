"""Why changes of a batch failed, counted: the console reads each result once, and a part of them at a look."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from producers import Batch, Outcome, Progress
from producers.contract.messages import JobResult
from producers.gateway.calls.service import AnyRequest

FAILED = (Outcome.REJECTED, Outcome.UNAUTHORIZED, Outcome.EXHAUSTED, Outcome.EXPIRED)
"""The outcomes that have a cause. Cancelled and superseded changes ended as somebody wanted."""

PAGES_A_LOOK, PAGE_SIZE = 2, 1000
"""Results that one look at a batch reads at most."""

MAX_BATCHES = 100
"""Batches whose counts are kept, those that were looked at last."""

MAX_CAUSES = 200
"""Causes that are told apart in a batch; further messages of a code count together."""

OTHER_MESSAGES = "other messages"


class Cause(NamedTuple):
    """Why a change failed."""

    outcome: Outcome
    code: str | None
    message: str


@dataclass(slots=True)
class Causes:
    """The causes of a batch's failures so far.

    Attributes:
        counts: how many changes failed of each.
        cursor: up to where the batch's results are counted.
        complete: whether all are, and there will be none after these.
    """

    counts: Counter[Cause] = field(default_factory=Counter)
    cursor: str | None = None
    complete: bool = False
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def add(self, results: Iterable[JobResult]) -> None:
        """Count some failures."""
        for result in results:
            message = result.message.replace(f"user {result.user_id!r}", "the user")  # missing API keys are one cause
            cause = Cause(result.outcome, result.code, message)
            if cause not in self.counts and len(self.counts) >= MAX_CAUSES:
                cause = cause._replace(message=OTHER_MESSAGES)
            self.counts[cause] += 1

    @property
    def counted(self) -> int:
        """The number of failures that are counted."""
        return self.counts.total()

    async def read_on(self, batch: Batch) -> None:
        """Count the next results of the batch, up to `PAGES_A_LOOK` pages, unless another tab does so now."""
        if self._lock.locked():
            return
        async with self._lock:
            for _ in range(PAGES_A_LOOK):
                page = await batch.page(self.cursor, PAGE_SIZE, outcomes=FAILED)
                self.add(page.results)
                has_moved, self.cursor = page.cursor != self.cursor, page.cursor
                self.complete = page.complete
                if page.complete or not has_moved:
                    return


class CauseCounts:
    """The causes of the batches that were looked at last, for all tabs."""

    def __init__(self) -> None:
        self._batches: OrderedDict[tuple[str, int], Causes] = OrderedDict()

    def causes_of(self, progress: Progress) -> Causes:
        """Return what is counted of a batch. One that was begun again under its ID is another batch."""
        name = (progress.batch_id, progress.created_at_ms)
        causes = self._batches.setdefault(name, Causes())
        self._batches.move_to_end(name)
        if len(self._batches) > MAX_BATCHES:
            self._batches.popitem(last=False)
        return causes


def cause_counts_of(request: AnyRequest) -> CauseCounts:
    """Return the counts of this process."""
    state = request.app.state
    if "console_causes" not in state:
        state["console_causes"] = CauseCounts()
    counts: CauseCounts = state["console_causes"]
    return counts
