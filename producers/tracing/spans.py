"""Spans by OpenTelemetry's semantic conventions for messaging. Only this package and `worker.attempt.tracing` make any.

A change that is sent by itself is a part of the trace of whoever sends it. Of many that are sent together each begins a
trace of its own, so that a sampler chooses among them, and no trace grows without bound. A fan-out has one trace
context for all, which its batch stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from producers.tracing import Headers, Sending, Tracing
from producers.tracing.ending import shut_down

DISTRIBUTION = "copytrade-settings"
SYSTEM = "copytrade"
DESTINATION = "changes"
"""`messaging.destination.name`: there is one queue of changes. Lanes and users are too many for names of spans."""

ERROR_TYPE = "error.type"
MESSAGE_ID = "messaging.message.id"
MESSAGE_COUNT = "messaging.batch.message_count"
USER_ID = "enduser.id"
BATCH_ID = "copytrade.batch.id"

Value = str | int

_propagator = TraceContextTextMapPropagator()


class Spans(Tracing):
    """Tracing that is on. Spans go to the tracer provider that the process has, to none if it has none.

    Attributes:
        with_user_ids: whether spans name users.
    """

    def __init__(self, *, with_user_ids: bool) -> None:
        self.with_user_ids = with_user_ids
        # A provider that is set later than this serves it, too.
        self._tracer = trace.get_tracer(DISTRIBUTION, _version())

    @property
    def lacks_provider(self) -> bool:  # type: ignore[override]  # a property where the other has a constant
        """Whether the process has no tracer provider."""
        return isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)

    def end(self, limit_s: float) -> bool:
        """Shut the process's tracer provider down, which sends the spans that it has."""
        shutdown = getattr(trace.get_tracer_provider(), "shutdown", None)  # the API has no such method, the SDK has
        return shutdown is None or shut_down(shutdown, limit_s)

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, Value],
        *,
        parent: Context | None = None,
        links: Iterable[Link] = (),
    ) -> Iterator[Span]:
        """Make a span that is the current one meanwhile. An exception ends it as failed, without the exception's text.

        Args:
            name: its name.
            kind: its kind.
            attributes: its attributes; empty ones are left out.
            parent: the context of its parent; None for the current one.
            links: its links.
        """
        with (
            self._tracer.start_as_current_span(
                name,
                parent,
                kind,
                _without_empty(attributes),
                list(links),
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            failing(span),
        ):
            yield span

    @contextmanager
    def operation(
        self,
        operation: str,
        kind: SpanKind,
        attributes: Mapping[str, Value],
        *,
        parent: Context | None = None,
        links: Iterable[Link] = (),
    ) -> Iterator[Span]:
        """Make the span of an operation on messages; arguments as for `span`."""
        with self.span(
            _name(operation), kind, messaging(operation) | dict(attributes), parent=parent, links=links
        ) as span:
            yield span

    @contextmanager
    def send(self, job_id: str, user_id: str, batch_id: str) -> Iterator[str]:
        """Make the span of sending a change, whose context is stored with it."""
        attributes = {MESSAGE_ID: job_id, BATCH_ID: batch_id, USER_ID: user_id if self.with_user_ids else ""}
        with self.operation("send", SpanKind.PRODUCER, attributes) as span:
            yield traceparent_of(span)

    @contextmanager
    def send_batch(self, batch_id: str, count: Callable[[], int]) -> Iterator[Sending]:
        """Make the span of sending a batch, whose context is stored with it."""
        with self._send_together(SpanKind.PRODUCER, batch_id) as span:
            try:
                yield Sending(traceparent_of(span))
            finally:
                span.set_attribute(MESSAGE_COUNT, count())

    @contextmanager
    def send_many(self) -> Iterator[Sending]:
        """Make the span of sending many changes, and one for each of them, whose context is stored with it."""
        with self._send_together(SpanKind.CLIENT, "") as span:
            link, count = _link(span.get_span_context()), 0

            def create(job_id: str, origin: str) -> str:
                nonlocal count
                count += 1
                parent = context_of(origin)
                links = [*link, *_link(_span_context(parent))]
                attributes = messaging("create") | {MESSAGE_ID: job_id}
                created = self._tracer.start_span(_name("create"), parent, SpanKind.PRODUCER, attributes, links)
                created.end()
                return traceparent_of(created)

            try:
                yield Sending(create=create)
            finally:
                span.set_attribute(MESSAGE_COUNT, count)

    @contextmanager
    def _send_together(self, kind: SpanKind, batch_id: str) -> Iterator[Span]:
        # It is not made the current span: this runs in a generator, which its caller may leave and close elsewhere.
        attributes = _without_empty(messaging("send") | {BATCH_ID: batch_id})
        span = self._tracer.start_span(_name("send"), kind=kind, attributes=attributes)
        try:
            with failing(span):
                yield span
        finally:
            span.end()

    @contextmanager
    def continued(self, headers: Headers) -> Iterator[None]:
        """Make the caller's span the current one, unless another instrumentation has made one of this process so."""
        if trace.get_current_span().get_span_context().is_valid:
            yield
            return
        carrier = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        token = attach(_propagator.extract(carrier))
        try:
            yield
        finally:
            detach(token)


@contextmanager
def failing(span: Span) -> Iterator[None]:
    """Mark a span as failed if an exception passes."""
    try:
        yield
    except BaseException as exc:
        fail(span, type(exc).__name__)
        raise


def fail(span: Span, error_type: str) -> None:
    """Mark a span as failed; `error_type` is one of few values."""
    span.set_attribute(ERROR_TYPE, error_type)
    span.set_status(StatusCode.ERROR)


def messaging(operation: str) -> dict[str, Value]:
    """Return the attributes that all spans of an operation on messages have."""
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": DESTINATION,
    }


def traceparent_of(span: Span) -> str:
    """Return the trace context of a span as it is stored; "" if the span is not sampled."""
    if not span.get_span_context().trace_flags.sampled:
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get("traceparent", "")


def context_of(traceparent: str) -> Context:
    """Return the context of a stored trace context: one without a span if it is empty or cannot be read."""
    return _propagator.extract({"traceparent": traceparent}, Context())


def link_to(traceparent: str, attributes: Mapping[str, Value]) -> Link | None:
    """Return a link to a stored trace context; None if it cannot be read."""
    context = _span_context(context_of(traceparent))
    return Link(context, attributes) if context.is_valid else None


def _span_context(context: Context) -> SpanContext:
    return trace.get_current_span(context).get_span_context()


def _link(context: SpanContext) -> list[Link]:
    return [Link(context)] if context.is_valid else []


def _version() -> str | None:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # run from a checkout
        return None


def _name(operation: str) -> str:
    return f"{operation} {DESTINATION}"


def _without_empty(attributes: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value != ""}
