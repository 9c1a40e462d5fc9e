"""The classification of replies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.exchange.replies import CODES, MAX_MESSAGE_CHARS, ReplyClass, classify, load_codes

NOW_MS = 1_700_000_000_000
SUCCESS = {"code": "00000", "msg": "success", "requestTime": NOW_MS, "data": "success"}


def body(**changes: Any) -> bytes:
    return json.dumps(SUCCESS | changes).encode()


@pytest.mark.parametrize(
    ("status", "reply", "expected"),
    [
        pytest.param(200, body(), "success", id="applied"),
        pytest.param(200, body(data="fail"), "failed", id="code of success, data fail"),
        pytest.param(200, body(data=None), "failed", id="code of success, data null"),
        pytest.param(200, b'{"code":"00000"}', "failed", id="code of success, no data"),
        pytest.param(200, body(data={"a": 1}), "failed", id="code of success, data of another shape"),
        pytest.param(202, body(), "transient", id="success with another status"),
        pytest.param(500, body(), "transient", id="success with a server error"),
        pytest.param(400, body(code="40015", data=None), "transient", id="system abnormal"),
        pytest.param(500, body(code="40725", data=None), "transient", id="release window"),
        pytest.param(400, body(code="40010", data=None), "transient", id="timed out, not a signature error"),
        pytest.param(400, body(code="45001", data=None), "transient", id="unknown error"),
        pytest.param(400, body(code="40037", data=None), "credentials", id="no such key"),
        pytest.param(400, body(code="40009", data=None), "credentials", id="signature"),
        pytest.param(400, body(code="40085", data=None), "credentials", id="unified account"),
        pytest.param(400, body(code="40099", data=None), "credentials", id="demo key elsewhere"),
        pytest.param(400, body(code="40008", data=None), "clock_skew", id="timestamp expired"),
        pytest.param(400, body(code=40008, data=None), "clock_skew", id="code as a number"),
        pytest.param(400, body(code="40017", data=None), "permanent", id="parameter"),
        pytest.param(500, body(code="40017", data=None), "permanent", id="the code counts, not the status"),
        pytest.param(200, body(code="31052", data=None), "permanent", id="refused with 200"),
        pytest.param(400, body(code="99999", data=None), "permanent", id="unknown code with 4xx"),
        pytest.param(503, body(code="99999", data=None), "transient", id="unknown code with 5xx"),
        pytest.param(200, body(code="99999", data=None), "transient", id="unknown code with 2xx"),
        pytest.param(429, body(code="429", data=None), "throttled", id="throttled"),
        pytest.param(429, body(), "throttled", id="throttled, whatever the body says"),
        pytest.param(429, b"slow down", "throttled", id="throttled by a page"),
        pytest.param(400, body(code="70228", data=None), "throttled", id="too frequent, without a 429"),
        pytest.param(403, b"<html>Access denied</html>", "transient", id="firewall page"),
        pytest.param(502, b"<html>Bad gateway</html>", "transient", id="gateway page"),
        pytest.param(302, b"", "transient", id="redirect"),
        pytest.param(200, b"", "transient", id="empty"),
        pytest.param(400, b"", "transient", id="empty refusal"),
        pytest.param(200, body()[:-10], "transient", id="cut"),
        pytest.param(200, body(msg="\ud800"), "success", id="half a surrogate pair"),
        pytest.param(400, b'["40017"]', "transient", id="a list"),
        pytest.param(400, b'{"status":404,"error":"Not Found"}', "transient", id="JSON of something else"),
        pytest.param(400, b'{"code":true}', "transient", id="code is no code"),
        pytest.param(400, b'{"code":-1}', "transient", id="negative code"),
        pytest.param(403, b'{"code":403,"msg":"Forbidden"}', "transient", id="firewall, number"),
        pytest.param(401, b'{"code":"401"}', "transient", id="firewall, text"),
        pytest.param(404, b'{"code":1020}', "transient", id="firewall, four digits"),
        pytest.param(400, b'{"code":"BLOCKED"}', "transient", id="firewall, word"),
        pytest.param(200, b'{"code":0,"data":"success"}', "transient", id="success of another API"),
        pytest.param(400, body(code="400172", data=None), "permanent", id="six digits"),
        pytest.param(400, body(code="1001", data=None), "throttled", id="throttled, four digits"),
        pytest.param(400, b'{"code":1' + b"0" * 5_000 + b"}", "transient", id="huge number"),
        pytest.param(400, json.dumps({"code": "9" * 5_000}).encode(), "transient", id="huge code"),
        pytest.param(400, b'{"code":' + b"[" * 100_000, "transient", id="deeply nested and cut"),
        pytest.param(400, b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "transient", id="deeply nested"),
        pytest.param(400, b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "transient", id="nested, unknown field"),
        # The documentation's own example lacks a comma; taken literally it cannot be read.
        pytest.param(200, b'{"code": "00000", "data": "success" "msg": ""}', "transient", id="the page's typing error"),
    ],
)
def test_a_reply_is_classified_by_status_and_body(status: int, reply: bytes, expected: str) -> None:
    """A 429 overrides the body, a known error code overrides the status, and no code at all is transient."""
    judged = classify(status, reply)

    assert judged.reply_class == expected
    assert judged.status == status


REFUSED = '{"code":"40017","msg":"%s","data":null}'
EXPLAINED = REFUSED % "\u53c2\u6570\u9519\u8bef"
"""A message in Chinese. One of its bytes in GBK is a backslash's."""


@pytest.mark.parametrize(
    ("reply", "charset"),
    [
        pytest.param(EXPLAINED.encode("utf-8-sig"), None, id="byte order mark"),
        pytest.param(EXPLAINED.encode("utf-16"), None, id="UTF-16 with a mark"),
        pytest.param(EXPLAINED.encode("utf-16-le"), None, id="UTF-16 without a mark"),
        pytest.param(EXPLAINED.encode("utf-32"), None, id="UTF-32"),
        pytest.param(EXPLAINED.encode("gbk"), "gbk", id="GBK with charset"),
        pytest.param((REFUSED % "\xe9").encode("latin-1"), None, id="Latin-1 without charset"),
        pytest.param((REFUSED % "\xe9").encode("latin-1"), "iso-8859-1", id="Latin-1 with charset"),
        pytest.param((REFUSED % "\xe9").encode("latin-1"), "utf-16", id="a wrong charset"),
        pytest.param((REFUSED % "\xe9").encode("latin-1"), "klingon", id="an unknown charset"),
        pytest.param((REFUSED % "\xe9").encode("latin-1"), "base64", id="a charset that is none"),
        pytest.param((REFUSED % "a\nb\tc\x00").encode(), None, id="raw control characters"),
    ],
)
def test_the_code_counts_in_whatever_encoding_it_is_sent(reply: bytes, charset: str | None) -> None:
    """The code is ASCII; only the message can be damaged."""
    judged = classify(400, reply, charset)

    assert (judged.reply_class, judged.code) == ("permanent", "40017")
    assert judged.message.isprintable()


def test_a_message_in_a_declared_encoding_is_read() -> None:
    """It is kept in the result."""
    assert classify(400, EXPLAINED.encode("gbk"), "gbk").message == "\u53c2\u6570\u9519\u8bef"


def test_a_rejection_keeps_code_and_message() -> None:
    """They state the exchange's reason, here the parameter at fault."""
    judged = classify(400, body(code="40017", msg="Parameter verification failed symbol", data=None))

    assert (judged.code, judged.message) == ("40017", "Parameter verification failed symbol")


@pytest.mark.parametrize("code", ["00000", 40017, "429"])
def test_a_code_is_kept_as_text(code: str | int) -> None:
    """A number becomes text, and the zeros of a text stay."""
    assert classify(400, body(code=code)).code == str(code)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(NOW_MS, NOW_MS, id="number"),
        pytest.param(str(NOW_MS), NOW_MS, id="string"),
        pytest.param(None, None, id="null"),
        pytest.param(1.5, None, id="fraction"),
        pytest.param(True, None, id="boolean"),
        pytest.param(0, None, id="zero"),
        pytest.param(NOW_MS * 1000, None, id="microseconds"),
        pytest.param("soon", None, id="word"),
        pytest.param("9" * 10_000, None, id="endless"),
        pytest.param("\u0661\u0667" * 6, None, id="digits of another script"),
        pytest.param([NOW_MS], None, id="list"),
    ],
)
def test_an_implausible_exchange_time_is_ignored(value: object, expected: int | None) -> None:
    """It must not shift the estimate of the exchange's clock; digits in a string are accepted."""
    assert classify(200, body(requestTime=value)).request_time_ms == expected


def test_the_exchange_time_of_a_rejection_is_read() -> None:
    """An expired timestamp is corrected with it."""
    assert classify(400, body(code="40008", data=None)).request_time_ms == NOW_MS


def test_a_message_is_bounded_and_printable() -> None:
    """It goes to logs, terminals and Redis, so control characters become spaces."""
    judged = classify(400, body(code="40017", msg="a\r\nb\x1b[31m\u202e" + "x" * 1_000))

    assert judged.message.startswith("a  b [31m")
    assert judged.message.isprintable()
    assert len(judged.message) == MAX_MESSAGE_CHARS


@pytest.mark.parametrize(
    ("reply", "appearance"),
    [
        pytest.param(b"", "empty body", id="empty"),
        pytest.param(b" <!DOCTYPE html>", "a page of 16 bytes", id="page"),
        pytest.param(b'{"code":"0', "10 bytes of JSON, truncated", id="cut"),
        pytest.param(b"upstream error", "14 bytes that are not JSON", id="text"),
    ],
)
def test_a_body_without_a_code_is_described_but_not_quoted(reply: bytes, appearance: str) -> None:
    """A proxy's page may show the headers of the request."""
    assert classify(502, reply).message.startswith(f"HTTP 502 without a code: {appearance}")


def test_the_code_table_has_only_classes_that_a_code_can_have() -> None:
    """`failed` follows from the data of a success, and only 00000 is a success."""
    assert set(CODES.values()) == set(ReplyClass) - {ReplyClass.FAILED}
    assert [code for code, reply_class in CODES.items() if reply_class is ReplyClass.SUCCESS] == ["00000"]


def test_the_code_table_is_complete_and_has_no_code_twice() -> None:
    """A code that came twice would leave fewer entries than the 1,211 rows."""
    from importlib import resources  # noqa: PLC0415 - the only test that looks at the file itself

    text = resources.files("worker.exchange").joinpath("codes.tsv").read_text("ascii")
    rows = [line for line in text.splitlines() if not line.startswith("#")][1:]

    assert len(load_codes()) == len(rows) == 1211
