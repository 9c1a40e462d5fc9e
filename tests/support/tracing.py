"""The spans of this process, as OpenTelemetry would export them."""

from __future__ import annotations

from functools import cache
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult

from producers.settings import ProducerSettings

TRACED = ProducerSettings(tracing=True)


class ChosenSampler(Sampler):
    """Samples as a test says: tracers keep the sampler that they were made with."""

    chosen: Sampler = ALWAYS_ON

    def should_sample(self, *arguments: Any, **options: Any) -> SamplingResult:
        """Ask the sampler that was chosen."""
        return self.chosen.should_sample(*arguments, **options)

    def get_description(self) -> str:
        """Return a name."""
        return "chosen by the test"


class Exported:
    """The spans that have ended.

    Attributes:
        tracer: makes spans of the test's own.
    """

    def __init__(self) -> None:
        self._exporter, self._sampler = InMemorySpanExporter(), ChosenSampler()
        provider = TracerProvider(ParentBased(self._sampler), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        trace.set_tracer_provider(provider)
        self.tracer = trace.get_tracer("a test")

    def begin(self, sampler: Sampler) -> None:
        """Forget all spans, and choose how those without a parent are sampled."""
        self._exporter.clear()
        self._sampler.chosen = sampler

    def spans(self, operation: str) -> list[ReadableSpan]:
        """Return the spans whose names begin with an operation, in the order in which they began."""
        found = [span for span in self._exporter.get_finished_spans() if span.name.split()[0] == operation]
        return sorted(found, key=lambda span: span.start_time or 0)

    def only(self, operation: str) -> ReadableSpan:
        """Return the only span of an operation."""
        (span,) = self.spans(operation)
        return span

    def names(self) -> set[str]:
        """Return the names of all spans."""
        return {span.name for span in self._exporter.get_finished_spans()}


@cache
def exported() -> Exported:
    """Return the spans of this process, which can have one tracer provider."""
    return Exported()


def trace_ids(*spans: ReadableSpan) -> set[int]:
    """Return the traces that spans belong to."""
    return {span.context.trace_id for span in spans}


def linked(span: ReadableSpan) -> list[int]:
    """Return the IDs of the spans that a span is linked to."""
    return [link.context.span_id for link in span.links]
