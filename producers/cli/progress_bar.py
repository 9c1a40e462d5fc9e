"""How far a batch is: a bar on a terminal, a line every ten seconds elsewhere, nothing where programs read."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from producers import Batch, Progress, ResultTimeout
from producers.cli.context import Run
from producers.cli.formatting import outcome_counts
from producers.cli.text import count, duration

LOOK_EVERY_S = 0.5
LINE_EVERY_S = 10.0
RATE_OVER_S = 10.0

STANDSTILL_S = 5.0
"""How long nothing may be sent before people are told: workers that restart are back by then."""


class Rate:
    """How fast a number grows, over the last ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, number: int) -> float | None:
        """The rate a second, with this number now; None before there are two."""
        now_s = self._clock()
        self._samples.append((now_s, number))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - RATE_OVER_S:  # noqa: PLR2004 - a rate needs two
            self._samples.popleft()
        began_s, began = self._samples[0]
        return (number - began) / (now_s - began_s) if now_s > began_s else None


class Standstill:
    """Notices that nothing is being sent, once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since_s: float | None = None
        self._told = False

    def begins(self, progress: Progress) -> bool:
        """Whether, with this progress, it has lasted long enough to be told."""
        if progress.eta_s is not None or progress.complete:
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s = self._clock()
        if self._told or self._clock() - self._since_s < STANDSTILL_S:
            return False
        self._told = True
        return True


class BatchBar(AbstractContextManager["BatchBar"]):
    """Shows first how much is enqueued, then how much has ended, for as long as the body runs."""

    def __init__(self, run: Run, batch_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._batch_id = batch_id
        self._screen = run.screen
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._quiet = run.as_json
        self._lines = not run.as_json and not run.screen.err.is_terminal
        self._clock = clock
        self._next_line_s = clock() + LINE_EVERY_S
        self._stack = ExitStack()
        self._rate = Rate(clock)
        self._phase = ""
        self._standstill = Standstill(clock)
        if not run.as_json and run.screen.err.is_terminal:
            texts = ("{task.fields[rate]}", "{task.fields[left]}", "{task.fields[outcomes]}")
            self._bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                *(TextColumn(text, markup=False) for text in texts),
                console=run.screen.err,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._stack.enter_context(self._bars)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def enqueueing(self, done: int, total: int) -> None:
        """So many changes of so many are enqueued."""
        self._show("enqueueing", done, total, None, "")

    def sending(self, progress: Progress) -> None:
        """So far is the batch."""
        outcomes = outcome_counts(progress.outcomes) if progress.ended else ""
        self._show("sending", progress.ended, progress.total, progress.eta_s, outcomes)
        if self._standstill.begins(progress) and not self._quiet:
            self._screen.note("nothing is being sent: it is paused, or no worker is alive; copytrade doctor tells")

    def _show(self, phase: str, done: int, total: int, left_s: float | None, outcomes: str) -> None:
        if phase != self._phase:
            self._phase, self._rate = phase, Rate(self._clock)
        per_s = self._rate.add(done)
        if left_s is None and per_s:
            left_s = (total - done) / per_s
        rate = "" if per_s is None else f"{per_s:.1f}/s"
        left = "" if left_s is None or done >= total else f"{duration(left_s)} left"
        if self._bars is not None:
            if self._task is None:
                self._task = self._bars.add_task(phase, total=total, rate="", left="", outcomes="")
            self._bars.update(
                self._task, description=phase, completed=done, total=total, rate=rate, left=left, outcomes=outcomes
            )
        elif self._lines and self._clock() >= self._next_line_s:
            self._next_line_s = self._clock() + LINE_EVERY_S
            parts = (f"{phase} {count(done)} of {count(total)}", rate, left, outcomes)
            self._screen.note(f"{self._batch_id}: {', '.join(part for part in parts if part)}")


async def until_complete(batch: Batch, timeout_s: float | None, tell: Callable[[Progress], None]) -> Progress:
    """Waits for the end of a batch, and tells how far it is, at least twice a second.

    Raises:
        ResultTimeout: it is not complete by then; it goes on.
        BatchNotFound: there is no such batch.
        QueueUnavailable: Redis did not answer.
    """
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while True:
        progress = await batch.progress()
        tell(progress)
        if progress.complete:
            return progress
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise ResultTimeout(
                f"batch {batch.batch_id} is not complete within {timeout_s:g} s"
                f" ({count(progress.ended)} of {count(progress.total)} have ended); it goes on,"
                f" follow it with: copytrade batch watch {batch.batch_id}"
            )
        await asyncio.sleep(min(LOOK_EVERY_S, left_s))
