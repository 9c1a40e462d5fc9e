"""The bar, or the lines, that show the progress of a batch."""

from __future__ import annotations

from typing import Any

import pytest

from producers import Priority, Progress
from producers.cli.context import CliContext
from producers.cli.progress_bar import LINE_INTERVAL_S, STALL_AFTER_S, BatchProgressBar, RateMeter


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    """An old burst does not distort it, and the first observation has no rate."""
    now_s = 0.0
    rate = RateMeter(clock=lambda: now_s)
    seen_rates = []
    for second in range(31):
        now_s = float(second)
        seen_rates.append(rate.observe(100 * min(second, 10) + max(0, second - 10)))

    assert seen_rates[0] is None
    assert seen_rates[5] == pytest.approx(100)
    assert seen_rates[30] == pytest.approx(1)


def progress(ended: int, **changed: Any) -> Progress:
    fields: dict[str, Any] = {
        "batch_id": "july",
        "total": 10,
        "queued": 10 - ended,
        "in_flight": 0,
        "outcomes": {"applied": ended},
        "sealed": True,
        "cancelled": False,
        "complete": ended == 10,
        "priority": Priority.BULK,
        "created_at_ms": 1,
        "started_at_ms": 1,
        "finished_at_ms": None,
        "eta_s": 65.0,
    }
    return Progress(**(fields | changed))


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """A log gets one line per interval, not one per update."""
    now_s = 100.0
    with BatchProgressBar(CliContext(), "july", clock=lambda: now_s) as bar:
        bar.show_progress(progress(0))
        now_s += LINE_INTERVAL_S
        bar.show_progress(progress(5))
        now_s += 1
        bar.show_progress(progress(6))

    assert capsys.readouterr().err == "july: sending 5 of 10, 0.5/s, 1 min 05 s left, 5 applied\n"


def test_a_pause_or_missing_worker_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar that does not move gives no reason."""
    now_s = 100.0
    with BatchProgressBar(CliContext(), "july", clock=lambda: now_s) as bar:
        for _ in range(4):
            bar.show_progress(progress(0, eta_s=None))
            now_s += STALL_AFTER_S / 2

    assert capsys.readouterr().err.count("nothing is being sent") == 1


def test_with_json_no_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads the document at the end."""
    with BatchProgressBar(CliContext(as_json=True), "july") as bar:
        bar.show_enqueued(1, 2)
        bar.show_progress(progress(5))

    assert capsys.readouterr().err == ""
