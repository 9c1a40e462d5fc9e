"""Arbitrary replies of the exchange, or of a proxy before it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from worker.exchange.replies import CODES, MAX_MESSAGE_CHARS, ReplyClass, classify

statuses = st.integers(0, 999) | st.sampled_from((200, 400, 429, 500, 502))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
codes = st.sampled_from(sorted(CODES)) | json_values
replies = st.fixed_dictionaries(
    {}, optional={"code": codes, "data": st.sampled_from(("success", "fail", "")) | json_values, "msg": json_values,
                  "requestTime": json_values},
)  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Bytes; JSON; replies, whole, cut, or with a byte changed."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    body = json.dumps(draw(replies | json_values)).encode()
    cut = draw(st.integers(0, len(body)))
    spoilt = body[:cut] + draw(st.binary(max_size=2)) + body[cut + 1 :]
    return draw(st.sampled_from((body, body[:cut], spoilt)))


@given(statuses, bodies())
@example(200, b"[" * 100_000)
@example(200, b'{"a":' * 100_000)
@example(200, b'{"code":' + b"9" * 10_000 + b"}")
@example(200, b'{"code":"00000","data":"success","requestTime":1e999}')
def test_any_reply_is_classified_and_only_success_as_success(status: int, body: bytes) -> None:
    """The message can be kept and printed."""
    reply = classify(status, body)

    assert reply.status == status
    assert len(reply.message) <= MAX_MESSAGE_CHARS
    assert reply.message.isprintable()
    assert reply.code is None or (reply.code.isascii() and reply.code.isprintable())
    if reply.reply_class is ReplyClass.SUCCESS:
        text = body.decode(json.detect_encoding(body), "replace")
        said: dict[str, Any] = json.loads(text, strict=False)
        assert (status, str(said["code"]), said["data"]) == (200, "00000", "success")


@given(statuses, replies)
def test_only_a_200_with_code_00000_and_data_success_is_success(status: int, said: dict[str, Any]) -> None:
    """Other fields of the reply have no influence."""
    is_success = (status, said.get("code"), said.get("data")) == (200, "00000", "success")

    assert (classify(status, json.dumps(said).encode()).reply_class is ReplyClass.SUCCESS) == is_success
