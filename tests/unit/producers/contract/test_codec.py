"""Stored changes and results: malformed ones are rejected, and arq can read them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from arq.jobs import deserialize_job, deserialize_job_raw, deserialize_result

from producers import CopySetting, Outcome, SettingsChange
from producers.contract.codec import decode_change, decode_result, deserialize, encode_change, encode_result, serialize
from producers.contract.messages import CONTRACT_VERSION
from producers.errors import MalformedChange
from tests.support.changes import attempt, change, result

PAYLOAD = encode_change(change(), enqueued_at_ms=1_700_000_000_123, ttl_ms=60_000)


def stored(**changed: Any) -> bytes:
    """Return a stored change with some top-level fields changed."""
    return msgspec.msgpack.encode(msgspec.msgpack.decode(PAYLOAD) | changed)


def test_a_change_comes_back_as_it_was_stored() -> None:
    """With its enqueue time, its deadline and its version."""
    back = decode_change(PAYLOAD)

    assert back.a == (change(),)
    assert (back.et, back.k.ttl_ms, back.k.v) == (1_700_000_000_123, 60_000, CONTRACT_VERSION)


@pytest.mark.parametrize("place", [(), ("k",), ("a", 0), ("a", 0, "settings", 0)], ids=str)
def test_a_field_that_a_later_version_added_to_a_stored_change_is_ignored(place: tuple[str | int, ...]) -> None:
    """The change comes back as the public type, and equals the one without the field."""
    document = msgspec.msgpack.decode(PAYLOAD)
    part = document
    for step in place:
        part = part[step]
    part["addedLater"] = {"any": "thing"}

    back = decode_change(msgspec.msgpack.encode(document))

    assert back == decode_change(PAYLOAD)
    assert type(back.a[0]) is SettingsChange
    assert type(back.a[0].settings[0]) is CopySetting


def test_a_field_that_a_later_version_added_to_a_stored_result_is_ignored() -> None:
    """Readers need not be updated before workers."""
    document = msgspec.msgpack.decode(encode_result(result("j1", attempts=[attempt()])))
    document["r"]["addedLater"] = document["r"]["attempts"][0]["addedLater"] = 1

    assert decode_result(msgspec.msgpack.encode(document)) == result("j1", attempts=[attempt()])


@pytest.mark.parametrize("length", range(len(PAYLOAD)))
def test_a_payload_truncated_at_any_length_is_malformed(length: int) -> None:
    """No prefix of a change decodes to another valid change."""
    with pytest.raises(MalformedChange, match="not a stored change"):
        decode_change(PAYLOAD[:length])


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (stored(f="os.system"), r"unknown function 'os.system'; lanes hold only 'apply_settings'"),
        (stored(f="os.system", a=["rm"], k={}), r"unknown function 'os.system'"),
        (stored(f=7), "not a stored change"),
        (stored(k={"v": CONTRACT_VERSION + 1, "ttlMs": 1}), rf"version {CONTRACT_VERSION + 1}.*update the worker"),
        (stored(a=[{"new": "shape"}], k={"v": 99}), "version 99.*update the worker"),
        (stored(k={"v": "99", "ttlMs": 1}), "not a stored change"),
        (stored(a=[]), "not a stored change"),
        (stored(a=[1]), "not a stored change"),
        (stored(a="x"), "not a stored change"),
        (stored(et="now"), "not a stored change"),
        (stored(k={}), "not a stored change.*ttlMs"),
        (b"\x80\x04}q\x00.", "not a stored change"),
        (b"\x93" * 100_000, "not a stored change"),
        (b"\xa1\xff", "not a stored change"),
        (b"\xc1", "not a stored change"),
        (PAYLOAD + b"x", "not a stored change"),
    ],
    ids=[
        "function",
        "function of other arguments",
        "function of a wrong type",
        "newer version",
        "newer version of another shape",
        "version of a wrong type",
        "no change",
        "wrong change",
        "wrong arguments",
        "wrong time",
        "no deadline",
        "pickle",
        "nested deeply",
        "no UTF-8",
        "no msgpack",
        "more behind it",
    ],
)
def test_something_else_than_a_stored_change_is_malformed_with_the_reason(payload: bytes, message: str) -> None:
    """The reason stays below 300 characters; for a newer contract version it is to update the worker."""
    with pytest.raises(MalformedChange, match=message) as caught:
        decode_change(payload)

    assert len(str(caught.value)) < 300


def test_an_unknown_enumeration_value_is_malformed() -> None:
    """The message has the path of the field."""
    wire = msgspec.to_builtins(change())
    wire["settings"][0]["productType"] = "SPOT"

    with pytest.raises(MalformedChange, match=r"SPOT.*productType"):
        decode_change(stored(a=[wire]))


def test_arq_reads_a_stored_change_as_one_of_its_jobs() -> None:
    """The deserialiser of arq finds the function, the arguments and the enqueue time."""
    job = deserialize_job(PAYLOAD, deserializer=deserialize)

    assert job.function == "apply_settings"
    assert list(job.args) == [msgspec.to_builtins(change())]
    assert round(job.enqueue_time.timestamp() * 1000) == 1_700_000_000_123


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", serialize({"r": 1}), serialize({"r": {"jobId": "x"}})])
def test_something_else_than_a_result_is_rejected(payload: bytes) -> None:
    """Among the cases are arq results that hold no `JobResult` or an incomplete one."""
    with pytest.raises(msgspec.MsgspecError):
        decode_result(payload)


@pytest.mark.parametrize("outcome", Outcome)
def test_arq_reads_a_stored_result_as_one_of_its_own(outcome: Outcome) -> None:
    """Every outcome is a success to arq: the job ran to its end."""
    read = deserialize_result(encode_result(result("j1", outcome)), deserializer=deserialize)

    assert (read.job_id, read.function, read.success) == ("j1", "apply_settings", True)
    assert read.result["outcome"] == outcome
    assert round(read.finish_time.timestamp() * 1000) == 2_000


def test_control_jobs_are_serialised_without_pickle_and_exceptions_become_text() -> None:
    """What arq passes is the exception itself, as the result of a failed job."""
    assert deserialize(serialize({"f": "x", "t": 1, "r": ValueError("no")})) == {
        "f": "x",
        "t": 1,
        "r": "ValueError: no",
    }


def test_a_control_job_may_leave_out_its_try() -> None:
    """What arq writes always has one, and arq reads it; a program in another language has none."""
    payload = serialize({"f": "submit", "a": [], "k": {}, "et": 1})

    assert [str(part) for part in deserialize_job_raw(payload, deserializer=deserialize)] == [
        "submit", "[]", "{}", "None", "1",
    ]  # fmt: skip
