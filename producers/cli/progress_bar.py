"""Progress of a batch: a bar on a terminal, a line every ten seconds without one, nothing with --json."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from producers import Batch, Progress, ResultTimeout
from producers.cli.context import CliContext
from producers.cli.text import format_count, format_duration
from producers.cli.views import outcome_counts

POLL_INTERVAL_S = 0.5
LINE_INTERVAL_S = 10.0
RATE_WINDOW_S = 10.0

STALL_AFTER_S = 5.0
"""Time without progress until a warning. A restarting worker needs less."""


class RateMeter:
    """Measures how fast a number grows, over the last `RATE_WINDOW_S`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()

    def observe(self, number: int) -> float | None:
        """Record the current number; return the rate per second, or None at the first call."""
        now_s = self._clock()
        self._samples.append((now_s, number))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - RATE_WINDOW_S:  # noqa: PLR2004 - a rate needs two
            self._samples.popleft()
        first_s, first = self._samples[0]
        return (number - first) / (now_s - first_s) if now_s > first_s else None


class StallDetector:
    """Detects that nothing is being sent: the batch is incomplete and has no estimated end. Reports it once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since_s: float | None = None
        self._reported = False

    def observe(self, progress: Progress) -> bool:
        """Record progress; return True once, when nothing has been sent for `STALL_AFTER_S`."""
        if progress.eta_s is not None or progress.complete or progress.cancelled:
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s = self._clock()
        if self._reported or self._clock() - self._since_s < STALL_AFTER_S:
            return False
        self._reported = True
        return True


class BatchProgressBar:
    """Shows how many changes are enqueued, then how many have ended."""

    def __init__(self, cli: CliContext, batch_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._batch_id = batch_id
        self._screen = cli.screen
        self._quiet = cli.as_json
        self._clock = clock
        self._next_line_s = clock() + LINE_INTERVAL_S
        self._rate = RateMeter(clock)
        self._phase = ""
        self._stall = StallDetector(clock)
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        if not cli.as_json and cli.screen.err.is_terminal:
            texts = ("{task.fields[rate]}", "{task.fields[left]}", "{task.fields[outcomes]}")
            self._bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                *(TextColumn(text, markup=False) for text in texts),
                console=cli.screen.err,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show_enqueued(self, done: int, total: int) -> None:
        """Show that `done` of `total` changes are enqueued."""
        self._show("enqueueing", done, total, None, "")

    def show_progress(self, progress: Progress) -> None:
        """Show how many changes have ended; warn once if nothing is being sent."""
        outcomes = outcome_counts(progress.outcomes) if progress.ended else ""
        self._show("sending", progress.ended, progress.total, progress.eta_s, outcomes)
        if self._stall.observe(progress) and not self._quiet:
            self._screen.note("nothing is being sent: it is paused, or no worker is alive; see: copytrade doctor")

    def _show(self, phase: str, done: int, total: int, left_s: float | None, outcomes: str) -> None:
        if phase != self._phase:
            self._phase, self._rate = phase, RateMeter(self._clock)
        per_s = self._rate.observe(done)
        if left_s is None and per_s:
            left_s = (total - done) / per_s
        rate = "" if per_s is None else f"{per_s:.1f}/s"
        left = "" if left_s is None or done >= total else f"{format_duration(left_s)} left"
        if self._bars is not None:
            if self._task is None:
                self._task = self._bars.add_task(phase, total=total, rate="", left="", outcomes="")
            self._bars.update(
                self._task, description=phase, completed=done, total=total, rate=rate, left=left, outcomes=outcomes
            )
        elif not self._quiet and self._clock() >= self._next_line_s:
            self._next_line_s = self._clock() + LINE_INTERVAL_S
            parts = (f"{phase} {format_count(done)} of {format_count(total)}", rate, left, outcomes)
            self._screen.note(f"{self._batch_id}: {', '.join(part for part in parts if part)}")


async def wait_until_complete(
    batch: Batch, timeout_s: float | None, on_progress: Callable[[Progress], None]
) -> Progress:
    """Wait until a batch is complete; call `on_progress` at least twice a second.

    Raises:
        ResultTimeout: the batch is not complete within `timeout_s`; it continues.
        BatchNotFound: there is no such batch.
        QueueUnavailable: Redis did not answer.
    """
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while True:
        progress = await batch.progress()
        on_progress(progress)
        if progress.complete:
            return progress
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise ResultTimeout(
                f"batch {batch.batch_id} is not complete within {timeout_s:g} s"
                f" ({format_count(progress.ended)} of {format_count(progress.total)} have ended); it continues,"
                f" follow it with: copytrade batch watch {batch.batch_id}"
            )
        await asyncio.sleep(min(POLL_INTERVAL_S, left_s))
