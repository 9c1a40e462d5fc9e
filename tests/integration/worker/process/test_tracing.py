"""A change is followed from its sending to its settlement by the spans that OpenTelemetry gets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from arq.connections import ArqRedis
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import SpanKind, StatusCode

from ops.exchange import Fault
from ops.keys import KEYS
from producers import Outcome, Producer, SettingsChange
from producers.contract.codec import serialize
from tests.support.changes import change, numbered, setting
from tests.support.gateway import body, gateway_on
from tests.support.pages import table
from tests.support.tracing import TRACED, Exported, exported, linked, trace_ids
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, USERS, Rig, rig_on
from worker.attempt import tracing

pytestmark = ARQ_CLOSES_OLD_STYLE

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Exported:
    """The spans of the test; all traces are sampled."""
    found = exported()
    found.begin(ALWAYS_ON)
    return found


@pytest.fixture
async def rig(valkey: ArqRedis, tmp_path: Path) -> AsyncIterator[Rig]:
    """A queue whose producer makes spans."""
    async with rig_on(valkey, tmp_path) as rig:
        rig.producer = Producer(valkey, TRACED)
        yield rig


def attributes(span: ReadableSpan, *names: str) -> tuple[object, ...]:
    return tuple((span.attributes or {}).get(name) for name in names)


async def test_one_trace_has_a_change_from_the_call_of_the_gateway_to_its_settlement(
    spans: Exported, rig: Rig, valkey_dsn: str
) -> None:
    """Through an attempt that fails and its retry; each attempt is linked to the sending, too."""
    rig.double.faults.add(Fault("http_500", first=1, user="1001"))
    async with gateway_on(valkey_dsn, tracing=True) as gateway:
        answer = await gateway.post("/v1/changes", json=body(), headers={"traceparent": CALLER})
    job_id = answer.json()["jobId"]
    await rig.drain(tracing=True)

    send, attempts = spans.only("send"), spans.spans("process")
    requests, settlements = spans.spans("POST"), spans.spans("settle")
    assert trace_ids(send, *attempts, *requests, *settlements) == {int(CALLER.split("-")[1], 16)}
    assert send.parent is not None
    assert send.parent.span_id == int(CALLER.split("-")[2], 16)
    for attempt, request, settlement in zip(attempts, requests, settlements, strict=True):
        assert {part.parent and part.parent.span_id for part in (request, settlement)} == {attempt.context.span_id}
        assert (attempt.parent and [attempt.parent.span_id], linked(attempt)) == ([send.context.span_id],) * 2
    kinds = [span.kind for span in (send, attempts[0], requests[0], settlements[0])]
    assert kinds == [SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.CLIENT, SpanKind.CLIENT]
    assert [attributes(span, "error.type", "copytrade.attempt", "copytrade.outcome") for span in attempts] == [
        ("transient", 1, None),
        (None, 2, "applied"),
    ]
    assert [attributes(span, "http.response.status_code", "error.type") for span in requests] == [
        (500, "500"),
        (200, None),
    ]
    assert [span.status.status_code for span in requests] == [StatusCode.ERROR, StatusCode.UNSET]
    assert {attributes(span, "messaging.message.id") for span in (send, *attempts, *settlements)} == {(job_id,)}


async def test_changes_that_are_sent_as_one_request_are_linked_to_one_attempt(spans: Exported, rig: Rig) -> None:
    """The attempt is a part of the first one's trace."""
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        part = SettingsChange(user_id="1001", trader_id="t1", settings=[setting(symbol=symbol)])
        await rig.producer.enqueue(part, job_id=symbol, coalesce=True)

    await rig.drain(tracing=True)

    sent, attempt = spans.spans("send"), spans.only("process")
    assert linked(attempt) == [span.context.span_id for span in sent]
    assert [(link.attributes or {})["messaging.message.id"] for link in attempt.links] == [
        "BTCUSDT",
        "ETHUSDT",
        "SOLUSDT",
    ]
    assert trace_ids(attempt) == trace_ids(sent[0])
    assert attributes(attempt, "messaging.message.id", "messaging.batch.message_count") == (None, 3)


async def test_a_fan_out_has_one_trace_context_and_each_of_its_changes_a_trace(spans: Exported, rig: Rig) -> None:
    """A retry goes on with the trace of the first attempt, and nothing is stored with each change."""
    rig.double.faults.add(Fault("http_500", first=1, user="1001"))
    batch = await rig.producer.fan_out(trader_id="t1", settings=[setting()], user_ids=USERS, batch_id="july")
    stored = await rig.redis.hget(KEYS.batch + "july", "traceparent")  # type: ignore[misc]

    await rig.drain(tracing=True)

    send, attempts = spans.only("send"), spans.spans("process")
    assert stored.decode().split("-")[1:3] == [f"{send.context.trace_id:032x}", f"{send.context.span_id:016x}"]
    assert (await batch.progress()).complete
    assert [linked(attempt) for attempt in attempts] == [[send.context.span_id]] * 4
    by_change: dict[object, list[ReadableSpan]] = {}
    for attempt in attempts:
        by_change.setdefault(attributes(attempt, "messaging.message.id")[0], []).append(attempt)
    assert {job_id: len(own) for job_id, own in by_change.items()} == {
        "july..1001": 2,
        "july..1002": 1,
        "july..1003": 1,
    }
    assert {len(trace_ids(*own)) for own in by_change.values()} == {1}
    assert len(trace_ids(send, *attempts)) == 4


async def test_a_fan_out_of_many_changes_has_its_trace_context_once(spans: Exported, rig: Rig) -> None:
    """It is in the batch's hash, and not in the payload of each change."""
    await rig.producer.fan_out(changes=numbered(3), batch_id="july")
    payloads = [await rig.redis.get(key) for key in await rig.redis.keys(KEYS.job + "*")]

    await rig.drain(tracing=True)

    assert [b"traceparent" in payload for payload in payloads] == [False] * 3
    assert [linked(attempt) for attempt in spans.spans("process")] == [[spans.only("send").context.span_id]] * 3


@pytest.mark.parametrize("is_fan_out", [False, True])
async def test_the_replay_of_a_dead_letter_goes_on_with_its_trace(
    spans: Exported, rig: Rig, *, is_fan_out: bool
) -> None:
    """The trace context is kept with the letter, also of a change that had none of its own."""
    rig.double.faults.add(Fault("code:40768", first=1, user="1001"))
    if is_fan_out:
        await rig.producer.fan_out(trader_id="t1", settings=[setting()], user_ids=["1001"], batch_id="july")
    else:
        await rig.producer.enqueue(change())
    await rig.drain(tracing=True)
    (first,) = spans.spans("process")

    report = await rig.producer.dead.replay(everything=True)
    await rig.drain(tracing=True)

    ((_, new_id),) = report.replayed
    created, (_, replayed) = spans.only("create"), spans.spans("process")
    assert trace_ids(created, replayed) == trace_ids(first)
    assert attributes(replayed, "messaging.message.id", "copytrade.outcome") == (new_id, "applied")
    assert replayed.parent is not None
    assert replayed.parent.span_id == created.context.span_id


async def test_a_submit_job_is_traced_from_the_app_that_enqueued_it(
    spans: Exported, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that runs the job sends the change."""
    monkeypatch.setenv("COPYTRADE_TRACING", "true")
    rig.redis.job_serializer = serialize
    wire = msgspec.to_builtins(change())
    await rig.redis.enqueue_job("submit", wire, traceparent=CALLER, _job_id="order-7", _queue_name="copytrade:queue")

    await rig.drain(tracing=True)

    assert trace_ids(spans.only("send"), spans.only("process")) == {int(CALLER.split("-")[1], 16)}


@pytest.mark.parametrize("is_on", [False, True])
async def test_nothing_is_stored_without_tracing_and_without_a_sampled_trace(
    spans: Exported, rig: Rig, *, is_on: bool
) -> None:
    """Keys and their lengths are the same; no span is exported, whatever the worker's setting."""
    spans.begin(ALWAYS_OFF)
    rig.producer = Producer(rig.redis, TRACED) if is_on else Producer(rig.redis)
    await rig.producer.enqueue(change(), job_id="one")
    await rig.producer.enqueue_many(numbered(3, "1002"), job_id=lambda each: f"many-{each.settings[0].trace_value}")
    await rig.producer.fan_out(trader_id="t1", settings=[setting()], user_ids=["1003"], batch_id="july")
    values = [await rig.redis.get(key) for key in await rig.redis.keys(KEYS.job + "*")]
    values += (await rig.redis.hgetall(KEYS.batch + "july")).keys()  # type: ignore[misc]

    await rig.drain(tracing=True)

    assert len(values) > 4
    assert not any(b"traceparent" in value for value in values)
    assert spans.names() == set()


async def test_spans_name_no_user_unless_they_may_and_never_a_setting_or_a_key(spans: Exported, rig: Rig) -> None:
    """They have no attributes but those that the page of tracing lists."""
    await rig.producer.enqueue(change("1001", value="330"), job_id="one")
    await rig.drain(tracing=True)
    named = {attributes(span, "enduser.id") for span in (spans.only("send"), spans.only("process"))}
    spans.begin(ALWAYS_ON)
    rig.producer = Producer(rig.redis, msgspec.structs.replace(TRACED, tracing_user_ids=False))
    await rig.producer.enqueue(change("1001", value="331"), job_id="two")

    await rig.drain(tracing=True, tracing_user_ids=False)

    every = [span for name in ("send", "process", "POST", "settle") for span in spans.spans(name)]
    said = {value for span in every for value in (span.attributes or {}).values()}
    listed = {name for name, *_ in table("ops/TRACING.md", "| attribute | on | meaning |")}
    assert {name for span in every for name in span.attributes or {}} <= listed
    assert named == {("1001",)}
    assert said.isdisjoint({"1001", "331"})
    assert said == {
        *("copytrade", "send", "process", "settle", "changes", "two", "default", 1, "applied", "success", "00000"),
        *("POST", 200, rig.double.url + "/api/v2/copy/mix-follower/settings", "127.0.0.1", int(rig.double.url[-5:])),
    }


async def test_a_change_of_an_untraced_producer_makes_no_span(spans: Exported, rig: Rig) -> None:
    """The decision is made where the change is sent."""
    rig.producer = Producer(rig.redis)

    (result,) = await rig.outcome([change()], tracing=True)

    assert result.outcome is Outcome.APPLIED
    assert spans.names() == set()


async def test_a_fault_of_tracing_costs_a_span_and_no_change(
    spans: Exported, rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt is made without one, and the log says so."""
    monkeypatch.setattr(tracing, "members_of", None)

    (result,) = await rig.outcome([change()], tracing=True)

    assert result.outcome is Outcome.APPLIED
    assert spans.spans("process") == []
    assert "is attempted without a span" in caplog.text
