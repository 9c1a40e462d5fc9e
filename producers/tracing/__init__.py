"""Tracing with OpenTelemetry, which is off by default. Then nothing of OpenTelemetry is imported, and no span is made.

`open_tracing` returns what a process calls: `Tracing`, which does nothing, or `spans.Spans`. See ops/TRACING.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import NamedTuple, Protocol

from producers.errors import SettingsError
from producers.settings import variable_name

CreateSpan = Callable[[str, str], str]
"""Makes the span of a change that is one of many, given its ID, and the trace context that it goes on with ("" for
none). Returns the trace context to store with it, "" to store none."""


Headers = Iterable[tuple[bytes, bytes]]


class Sending(NamedTuple):
    """How changes that are sent together are traced.

    Attributes:
        traceparent: the trace context to store with their batch; "" to store none.
        create: makes the span of each change, whose trace context is stored with it; None if that is not done.
    """

    traceparent: str = ""
    create: CreateSpan | None = None

    def begin(self, job_id: str, origin: str = "") -> str:
        """Begin the trace of a change. Return the trace context to store with it, "" to store none.

        Args:
            job_id: the ID of the change.
            origin: a trace context to go on with; "" for none.
        """
        return "" if self.create is None else self.create(job_id, origin)


NOT_TRACED = Sending()

NO_PROVIDER = (
    "COPYTRADE_TRACING is on, but this process has no tracer provider, so no span is made: start it by"
    " opentelemetry-instrument (ops/TRACING.md)"
)
"""The warning of our commands, whose operators have no other way to set one."""


class Tracing:
    """Tracing that is off. A trace context is the value of the header `traceparent` (W3C Trace Context)."""

    lacks_provider = False
    """Whether it is on, and the process has no tracer provider."""

    def send(self, job_id: str, user_id: str, batch_id: str) -> AbstractContextManager[str]:  # noqa: ARG002 - see Spans
        """Trace the sending of one change. It has the trace context to store with the change, "" to store none."""
        return nullcontext("")

    def send_batch(self, batch_id: str, count: Callable[[], int]) -> AbstractContextManager[Sending]:  # noqa: ARG002
        """Trace the sending of a batch whose changes share a trace context.

        Args:
            batch_id: the batch.
            count: returns how many changes were sent, at the end.
        """
        return nullcontext(NOT_TRACED)

    def send_many(self) -> AbstractContextManager[Sending]:
        """Trace the sending of changes that have a trace each."""
        return nullcontext(NOT_TRACED)

    def continued(self, headers: Headers) -> AbstractContextManager[None]:  # noqa: ARG002
        """Make spans within it a part of the caller's trace, as its headers tell (W3C Trace Context)."""
        return nullcontext()

    def end(self, limit_s: float) -> bool:  # noqa: ARG002 - see Spans
        """Send the spans that the process has made, before it ends. Return whether all were sent in time.

        Args:
            limit_s: how long to wait; what was not sent by then is lost.
        """
        return True


OFF = Tracing()


class TracingSettings(Protocol):
    """The settings of tracing, which producers and workers have."""

    @property
    def tracing(self) -> bool:
        """Whether it is on."""

    @property
    def tracing_user_ids(self) -> bool:
        """Whether spans name users."""


def open_tracing(settings: TracingSettings) -> Tracing:
    """Return the tracing of a process.

    Raises:
        SettingsError: it is on, and OpenTelemetry is not installed.
    """
    return _open(is_on=settings.tracing, with_user_ids=settings.tracing_user_ids)


@cache
def _open(*, is_on: bool, with_user_ids: bool) -> Tracing:
    if not is_on:
        return OFF
    try:
        from producers.tracing.spans import Spans  # noqa: PLC0415 - OpenTelemetry is optional
    except ModuleNotFoundError as exc:
        raise SettingsError(
            f"{variable_name('tracing')}: {exc}; install this package with its extra [otel], or switch tracing off"
        ) from exc
    return Spans(with_user_ids=with_user_ids)
