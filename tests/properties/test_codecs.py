"""What is stored and sent: read back unchanged, or rejected with the one documented error."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producers import Attempt, CopySetting, InvalidChange, InvalidId, JobResult, Outcome, Priority, SettingsChange
from producers.contract import attempt_history, keyspace
from producers.contract.attempt_history import MAX_ATTEMPTS, AttemptHistory
from producers.contract.codec import decode_change, decode_result, encode_change, encode_result
from producers.contract.reader import Encoding, read_change
from producers.contract.validation import check_batch_id, check_change, check_id, check_new_id
from producers.errors import MalformedChange
from tests.properties.changes import anything, changes, identifiers
from worker.exchange.endpoint import METHOD, SETTINGS_PATH, encode_body
from worker.exchange.signing import sign
from worker.secret import Secret

milliseconds = st.integers(0, 2**53)
attempts = st.builds(
    Attempt,
    at_ms=milliseconds,
    took_ms=st.integers(0, 10_000),
    verdict=st.sampled_from(("success", "transient", "throttled", "ambiguous")),
    status=st.none() | st.integers(100, 599),
    code=st.none() | st.text(max_size=5),
    message=st.none() | st.text(max_size=20),
)


@given(changes, milliseconds, st.integers(1, 2**40), st.booleans(), st.sampled_from(list(Priority)))
def test_a_stored_change_is_read_back_whole(
    change: SettingsChange, enqueued_at_ms: int, ttl_ms: int, coalesce: bool, priority: Priority
) -> None:
    """Enqueue time, time to live, coalesce and priority are stored with it, in the bytes that the scripts look for."""
    payload = encode_change(change, enqueued_at_ms=enqueued_at_ms, ttl_ms=ttl_ms, coalesce=coalesce, priority=priority)

    stored = decode_change(payload)

    assert (stored.a[0], stored.et, stored.k.ttl_ms, stored.k.coalesce is True) == (
        change,
        enqueued_at_ms,
        ttl_ms,
        coalesce,
    )
    # What the scripts look for is there if it was meant, and not if it was not.
    assert (b"\xa8coalesce\xc3" in payload, b"\xa8priority\xa4bulk" in payload) == (coalesce, priority is Priority.BULK)


@given(changes, st.data())
def test_a_damaged_change_is_read_or_rejected(change: SettingsChange, data: st.DataObject) -> None:
    """Cut, or with bytes replaced; no other error is raised."""
    payload = encode_change(change, enqueued_at_ms=1, ttl_ms=1)
    place = data.draw(st.integers(0, len(payload)))
    spoilt = payload[:place] + data.draw(st.binary(max_size=4)) + payload[place + data.draw(st.integers(0, 4)) :]

    _read_or_refuse(spoilt)


@given(st.binary(max_size=300) | anything.map(lambda value: msgspec.msgpack.encode(value, enc_hook=repr)))
@example(b"\x91" * 100_000)
@example(b"\x81\xa1a" * 100_000)
def test_any_stored_value_is_read_or_rejected(found: bytes) -> None:
    """As a change, a result or a history."""
    _read_or_refuse(found)
    assert isinstance(attempt_history.decode(found), AttemptHistory)
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        decode_result(found)


@given(
    st.sampled_from(("json", "msgpack")),
    st.binary(max_size=300) | anything.map(lambda value: msgspec.msgpack.encode(value, enc_hook=repr)) | changes,
    st.dictionaries(
        st.text(max_size=5), st.none() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5), max_size=2
    ),
)
def test_any_body_is_a_change_or_is_rejected_by_its_field(
    encoding: Encoding, found: Any, extra: dict[str, Any]
) -> None:
    """Never with an error of msgspec; a field that no change has is always an error."""
    if isinstance(found, SettingsChange):
        encoder = msgspec.json if encoding == "json" else msgspec.msgpack
        found = encoder.encode(msgspec.to_builtins(found) | extra)
    rejected = ""
    try:
        check_change(read_change(found, encoding=encoding))
    except InvalidChange as exc:
        rejected = exc.field

    assert rejected.isprintable()
    assert rejected or not extra.keys() - set(SettingsChange.__struct_encode_fields__)


def _read_or_refuse(payload: bytes) -> None:
    with suppress(MalformedChange):
        decode_change(payload)


@given(st.builds(
    JobResult, job_id=identifiers, user_id=identifiers, trader_id=identifiers, outcome=st.sampled_from(list(Outcome)),
    code=st.none() | st.text(max_size=5), message=st.text(max_size=50), attempts=st.lists(attempts, max_size=3),
    tries=st.integers(0, 100), enqueued_at_ms=milliseconds, started_at_ms=st.none() | milliseconds,
    finished_at_ms=milliseconds, successor=st.none() | identifiers,
))  # fmt: skip
def test_a_stored_result_is_read_back_unchanged(result: JobResult) -> None:
    """The result includes its attempts, and its optional fields may be absent."""
    assert decode_result(encode_result(result)) == result


@given(
    st.lists(
        st.tuples(attempts, st.lists(st.sampled_from("abcd"), max_size=3, unique=True), st.integers(0, 4)), max_size=30
    )
)
def test_a_history_keeps_which_changes_each_request_included(requests: list[tuple[Attempt, list[str], int]]) -> None:
    """As it passes from head to head; the last 20 requests are kept."""
    lane = list("abcd")
    state = AttemptHistory(head=lane[0])
    made: list[tuple[Attempt, list[str]]] = []
    for number, (attempt, others, ended) in enumerate(requests):
        if ended == 0 and len(lane) > 1:
            lane.pop(0)
            state = state.for_job(lane[0])
        carried = [job_id for job_id in lane if job_id == lane[0] or job_id in others]
        made.append((msgspec.structs.replace(attempt, at_ms=number), carried))
        state = state.with_attempt(*made[-1])

    assert attempt_history.decode(attempt_history.encode(state)) == state
    for job_id in lane:
        own = [attempt for attempt, carried in made if job_id in carried]
        found = state.for_job(job_id).attempts
        assert found == own[len(own) - len(found) :], "what it was in and nothing else, oldest first"
        assert state.was_sent(job_id) or not any(job_id in carried for _, carried in made[-MAX_ATTEMPTS:])


@given(anything | st.builds(
    SettingsChange, user_id=anything, trader_id=anything, auto_copy=anything, mode=anything, settings=anything
) | st.builds(SettingsChange, user_id=identifiers, trader_id=identifiers, settings=st.lists(st.builds(
    CopySetting, symbol=anything, product_type=anything, margin_type=anything, margin_coin=anything,
    lever_type=anything, long_leverage=anything, trace_type=anything, trace_value=anything, stop_loss_ratio=anything,
), max_size=3)))  # fmt: skip
def test_any_object_is_a_valid_change_or_is_rejected(given_as_a_change: Any) -> None:
    """A valid one can be stored and sent."""
    try:
        check_change(given_as_a_change)
    except InvalidChange:
        return
    json.loads(encode_body(given_as_a_change))
    decode_change(encode_change(given_as_a_change, enqueued_at_ms=1, ttl_ms=1))


@given(changes)
def test_a_change_built_by_the_rules_is_valid(change: SettingsChange) -> None:
    """The strategies of these tests and the validation agree."""
    check_change(change)


@pytest.mark.parametrize("rule", [lambda value: check_id("job_id", value), check_new_id, check_batch_id])
@given(value=anything | identifiers)
def test_any_object_is_a_valid_id_or_is_rejected(rule: Any, value: Any) -> None:
    """Valid IDs are printable ASCII without spaces, at most 128 characters."""
    try:
        passed = rule(value)
    except InvalidId:
        return
    assert passed == value
    assert passed.isascii()
    assert passed.isprintable()
    assert " " not in passed
    assert 0 < len(passed) <= 128


@given(st.text())
def test_an_escaped_id_is_unescaped_to_itself_and_has_no_separator(part: str) -> None:
    """A colon separates the parts of a key, so an ID must not add one."""
    assert keyspace.unescape(keyspace.escape(part)) == part
    assert ":" not in keyspace.escape(part)


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
@example(("a:b", "c"), ("a", "b:c"))
@example(("a%3Ab", "c"), ("a:b", "c"))
def test_no_two_pairs_of_user_and_trader_share_a_lane(one: tuple[str, str], other: tuple[str, str]) -> None:
    """The lane can also be split back into its user and trader."""
    assert (keyspace.lane(*one) == keyspace.lane(*other)) == (one == other)
    assert keyspace.user_and_trader(keyspace.lane(*one)) == one


@given(changes)
def test_a_body_has_the_fields_of_the_change_in_wire_names(change: SettingsChange) -> None:
    """Without absent values and the user."""
    said = json.loads(encode_body(change))

    expected = json.loads(msgspec.json.encode(change))
    assert said == {name: value for name, value in expected.items() if name != "userId"}


@given(st.text(), milliseconds, changes)
def test_a_signature_is_over_the_bytes_that_are_sent(secret: str, timestamp_ms: int, change: SettingsChange) -> None:
    """Computed in another way, by the exchange's rule."""
    body = encode_body(change)
    message = str(timestamp_ms).encode() + METHOD.encode() + SETTINGS_PATH.encode() + body
    expected = base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha256).digest()).decode()

    assert sign(Secret(secret), timestamp_ms, METHOD, SETTINGS_PATH, body) == expected
