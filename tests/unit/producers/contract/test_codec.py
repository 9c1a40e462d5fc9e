"""Stored changes and results: they come back as they were, arq reads them, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from arq.jobs import deserialize_job, deserialize_result

from producers import Outcome
from producers.contract.codec import (
    decode_change,
    decode_result,
    deserialize,
    encode_change,
    encode_result,
    serialize,
)
from producers.contract.messages import CONTRACT_VERSION
from producers.errors import MalformedChange
from tests.support.changes import attempt, change, result

PAYLOAD = encode_change(change(), enqueued_at_ms=1_700_000_000_123, ttl_ms=60_000)


def stored(**changed: Any) -> bytes:
    """A stored change with some of its top-level fields changed."""
    return msgspec.msgpack.encode(msgspec.msgpack.decode(PAYLOAD) | changed)


def test_a_change_comes_back_as_it_was_stored() -> None:
    """With its enqueue time, its deadline and its version."""
    back = decode_change(PAYLOAD)

    assert back.a == (change(),)
    assert (back.et, back.k.ttl_ms, back.k.v) == (1_700_000_000_123, 60_000, CONTRACT_VERSION)


@pytest.mark.parametrize("length", range(len(PAYLOAD)))
def test_a_truncated_payload_is_unreadable_at_every_length(length: int) -> None:
    """One error, whatever was cut off."""
    with pytest.raises(MalformedChange, match="not a stored change"):
        decode_change(PAYLOAD[:length])


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (stored(f="os.system"), r"unknown function 'os.system'; lanes only hold 'apply_settings'"),
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
def test_what_is_no_change_of_ours_is_unreadable_and_says_why(payload: bytes, message: str) -> None:
    """A short message that names the reason, never another exception."""
    with pytest.raises(MalformedChange, match=message) as caught:
        decode_change(payload)

    assert len(str(caught.value)) < 300


def test_an_enumeration_that_is_not_known_is_unreadable() -> None:
    """The path in the message says where."""
    wire = msgspec.to_builtins(change())
    wire["settings"][0]["productType"] = "SPOT"

    with pytest.raises(MalformedChange, match=r"SPOT.*productType"):
        decode_change(stored(a=[wire]))


def test_arq_reads_a_stored_change_as_one_of_its_jobs() -> None:
    """Function, arguments and time, through arq's own code."""
    job = deserialize_job(PAYLOAD, deserializer=deserialize)

    assert job.function == "apply_settings"
    assert list(job.args) == [msgspec.to_builtins(change())]
    assert round(job.enqueue_time.timestamp() * 1000) == 1_700_000_000_123


def test_a_result_comes_back_as_it_was_stored() -> None:
    """All of its fields."""
    full = result("j1", Outcome.EXHAUSTED, code="40725", message="m", attempts=[attempt("transient")], tries=3)

    assert decode_result(encode_result(full)) == full


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x80", serialize({"r": 1}), serialize({"r": {"jobId": "x"}})])
def test_what_is_no_result_is_refused(payload: bytes) -> None:
    """With msgspec's error, which callers know."""
    with pytest.raises(msgspec.MsgspecError):
        decode_result(payload)


@pytest.mark.parametrize("outcome", Outcome)
def test_arq_reads_a_stored_result_as_one_of_its_own(outcome: Outcome) -> None:
    """Every outcome is a success to arq: the job ran to its end, and `result` tells how."""
    read = deserialize_result(encode_result(result("j1", outcome)), deserializer=deserialize)

    assert (read.job_id, read.function, read.success) == ("j1", "apply_settings", True)
    assert read.result["outcome"] == outcome
    assert round(read.finish_time.timestamp() * 1000) == 2_000


def test_control_jobs_are_serialised_without_pickle_and_exceptions_become_text() -> None:
    """What arq hands over for a failed job."""
    assert deserialize(serialize({"f": "x", "r": ValueError("no")})) == {"f": "x", "r": "ValueError: no"}
