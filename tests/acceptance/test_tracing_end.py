"""A worker that ends sends its last spans, and waits for no tracing backend that hangs."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from ops.stack import Stack
from worker.logs import Event

WITHIN_S = 20.0
"""OpenTelemetry's own wait is 30 s."""


def logged(path: Path, event: Event) -> int:
    """Return how many lines of an event the workers have logged."""
    return path.read_text("utf-8").count(f'"event":"{event}"')


async def test_a_tracing_backend_that_hangs_holds_up_no_worker_that_stops(stack: Stack, log_path: Path) -> None:
    """Its last spans are lost, which is logged."""
    (worker,) = await stack.start_workers(
        1, module="tests.acceptance.hanging_exporter", COPYTRADE_TRACING="true", COPYTRADE_LOG_FORMAT="json"
    )
    async with asyncio.timeout(WITHIN_S):
        while not logged(log_path, Event.STARTED):  # noqa: ASYNC110 - only the log tells
            await asyncio.sleep(0.05)
    worker.send_signal(signal.SIGTERM)
    async with asyncio.timeout(WITHIN_S):
        status = await worker.wait()

    assert status == 0
    assert logged(log_path, Event.SPANS_LOST) == 1
