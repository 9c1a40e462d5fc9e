"""A worker whose spans go to a backend that never answers: `python -m tests.acceptance.hanging_exporter`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from worker.process.main import main


class HangingExporter(SpanExporter):
    """Sends for an hour."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - none is sent
        """Hang."""
        time.sleep(3600)
        return SpanExportResult.FAILURE


if __name__ == "__main__":
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(HangingExporter()))
    trace.set_tracer_provider(provider)
    trace.get_tracer("a test").start_span("never sent").end()
    sys.exit(main())
