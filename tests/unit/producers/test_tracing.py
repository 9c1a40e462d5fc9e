"""Tracing: what a process without OpenTelemetry gets, and what is stored and said of a trace."""

from __future__ import annotations

import sys

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.semconv._incubating.attributes import enduser_attributes, messaging_attributes, url_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes

import producers.tracing
from producers import SettingsError
from producers.contract.codec import decode_change, encode_change, traceparent_of
from producers.settings import ProducerSettings
from producers.tracing import open_tracing
from producers.tracing.spans import Spans
from tests.support.changes import change
from tests.support.pages import table
from tests.support.tracing import TRACED, exported
from worker.settings import WorkerSettings

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CONVENTIONS = (
    *(messaging_attributes, enduser_attributes, url_attributes),
    *(error_attributes, http_attributes, server_attributes),
)


def test_tracing_is_off_by_default_and_then_yields_nothing_to_store() -> None:
    """Of producers and workers alike."""
    tracing = open_tracing(ProducerSettings())

    with tracing.send("j1", "1001", "") as one, tracing.send_many() as many, tracing.send_batch("b", int) as batch:
        assert (one, many.begin("j2"), batch.traceparent) == ("", "", "")
    assert tracing is open_tracing(WorkerSettings())


def test_a_process_without_opentelemetry_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """If tracing is on."""
    producers.tracing._open.cache_clear()
    monkeypatch.delitem(sys.modules, "producers.tracing.spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(SettingsError, match=r"COPYTRADE_TRACING: .*opentelemetry.*\[otel\]"):
        open_tracing(TRACED)


def test_a_process_without_a_tracer_provider_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its spans would go nowhere."""
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)

    assert open_tracing(TRACED).lacks_provider
    assert not open_tracing(ProducerSettings()).lacks_provider


def test_a_trace_context_is_stored_with_a_change_and_found_without_decoding_it() -> None:
    """A change without one has the bytes that it had before there was any."""
    plain = encode_change(change(), enqueued_at_ms=1, ttl_ms=1000)
    traced = encode_change(change(), enqueued_at_ms=1, ttl_ms=1000, traceparent=TRACEPARENT)

    assert (traceparent_of(traced), traceparent_of(plain)) == (TRACEPARENT, "")
    assert decode_change(traced).a == decode_change(plain).a
    assert decode_change(traced).k.digest == decode_change(plain).k.digest
    assert len(traced) - len(plain) == len(TRACEPARENT) + 14


def test_a_reader_that_does_not_know_trace_contexts_ignores_them() -> None:
    """So does this one with what it does not know: workers of two versions run side by side."""
    stored = msgspec.msgpack.decode(encode_change(change(), enqueued_at_ms=1, ttl_ms=1000))
    stored["k"] |= {"traceparent": TRACEPARENT, "tracestate": "of a later version"}

    assert decode_change(msgspec.msgpack.encode(stored)).a == (change(),)


@pytest.mark.parametrize("stored", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", TRACEPARENT + "-x"])
def test_a_malformed_trace_context_begins_a_trace_of_its_own(stored: str) -> None:
    """It is no error: whoever wrote it, the change is what matters."""
    spans = Spans(with_user_ids=True)
    exported().begin(ALWAYS_ON)

    with spans.continued([(b"traceparent", stored.encode())]), spans.send("j1", "1001", "") as traceparent:
        assert traceparent
    assert exported().only("send").parent is None


def test_a_caller_s_decision_against_sampling_is_kept() -> None:
    """Nothing is stored then."""
    spans = Spans(with_user_ids=True)
    exported().begin(ALWAYS_ON)

    with spans.continued([(b"traceparent", TRACEPARENT[:-1].encode() + b"0")]), spans.send("j1", "1001", "") as stored:
        assert stored == ""


def test_an_app_s_own_span_is_the_parent_rather_than_the_header() -> None:
    """The app has an instrumentation that has read it."""
    spans = Spans(with_user_ids=True)
    exported().begin(ALWAYS_ON)

    with exported().tracer.start_as_current_span("served") as served:  # noqa: SIM117 - the order matters
        with spans.continued([(b"traceparent", TRACEPARENT.encode())]), spans.send("j1", "1001", ""):
            pass

    sent = exported().only("send")
    assert sent.parent == served.get_span_context()


def test_many_changes_are_sampled_one_by_one() -> None:
    """Each begins a trace, which is linked to the span of sending them, whose count it raises."""
    spans = Spans(with_user_ids=True)
    exported().begin(ALWAYS_ON)

    with spans.send_many() as sending:
        stored = [sending.begin(f"j{number}") for number in range(3)]
        exported().begin(ALWAYS_OFF)
        stored.append(sending.begin("j3"))

    assert [bool(traceparent) for traceparent in stored] == [True, True, True, False]
    assert len({traceparent.split("-")[1] for traceparent in stored[:3]}) == 3
    assert (exported().only("send").attributes or {})["messaging.batch.message_count"] == 4


def test_an_error_marks_the_span_with_its_class_and_without_its_text() -> None:
    """A text may quote what the caller handed in."""
    spans = Spans(with_user_ids=True)
    exported().begin(ALWAYS_ON)

    with pytest.raises(ValueError, match="quoted"), spans.send("j1", "1001", ""):
        raise ValueError("quoted")

    span = exported().only("send")
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert (span.status.is_ok, span.status.description, span.events) == (False, None, ())


def test_every_attribute_is_of_the_conventions_or_ours() -> None:
    """As the package of the semantic conventions has them."""
    known = {value for module in CONVENTIONS for name, value in vars(module).items() if name.isupper()}

    used = {name for name, *_ in table("ops/TRACING.md", "| attribute | on | meaning |")}

    assert {name for name in used if not name.startswith("copytrade.")} <= known


def test_the_last_spans_are_sent_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process has one provider; this one is the test's."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    provider.get_tracer("a test").start_span("last").end()

    assert open_tracing(TRACED).end(60)
    assert [span.name for span in exporter.get_finished_spans()] == ["last"]


def test_there_is_no_wait_at_the_end_without_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor without tracing."""
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)

    assert open_tracing(TRACED).end(60)
    assert open_tracing(ProducerSettings()).end(60)
