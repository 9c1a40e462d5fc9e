"""The signature and the headers of a request."""

from __future__ import annotations

import base64
import hashlib

import pytest

from worker.credentials.model import Credentials
from worker.exchange.signing import headers, sign
from worker.secret import Secret

KEY = Secret("test-secret-0123456789abcdef")
TIMESTAMP_MS = 1659076670000
PATH = "/api/v2/copy/mix-follower/settings"
COMPACT = (
    b'{"traderId":"123123123","settings":[{"symbol":"BTCUSDT","productType":"USDT-FUTURES","marginType":"trader",'
    b'"marginCoin":"USDT","leverType":"trader","traceType":"amount","traceValue":"330","maxHoldSize":"5000"}]}'
)
SPACED = COMPACT.replace(b":", b": ").replace(b',"', b', "')


@pytest.mark.parametrize(
    ("method", "path", "body", "signature"),
    [
        # Computed with ccxt 4.5.90 (bitget.sign) and with an own implementation; both agree.
        pytest.param("POST", PATH, COMPACT, "5irSl4NT3fWqr0vF6onFe69vT0TK5GG/WMa8pkNyWDg=", id="compact body"),
        # Computed with an own implementation only: ccxt always writes a compact body.
        pytest.param("POST", PATH, SPACED, "YJUU8SED6X1I59fyTz7vrGpyUw0RcpkPydAHC4fQ5gU=", id="body with spaces"),
        # Computed with ccxt 4.5.90 and with an own implementation; both agree.
        pytest.param(
            "GET",
            "/api/v2/copy/mix-follower/query-settings?traderId=123123123",
            b"",
            "Mz4U/TTs7+m9DmiS3bXUtIO1O0Xv+yxKRxrlRfXBnNA=",
            id="query and no body",
        ),
    ],
)
def test_signatures_are_those_of_independent_implementations(
    method: str, path: str, body: bytes, signature: str
) -> None:
    """Golden vectors: method, path with query, and body are signed."""
    assert sign(KEY, TIMESTAMP_MS, method, path, body) == signature


def test_the_signature_is_hmac_as_rfc_2104_writes_it() -> None:
    """By hand, without the hmac module."""
    key = KEY.reveal().encode().ljust(64, b"\0")
    text = b"1659076670000POST" + PATH.encode() + COMPACT
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + text).digest()
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).digest()

    assert sign(KEY, TIMESTAMP_MS, "POST", PATH, COMPACT) == base64.b64encode(outer).decode()


def credentials(*, demo: bool) -> Credentials:
    return Credentials(user_id="1001", api_key=Secret("key"), secret_key=KEY, passphrase=Secret("pass"), demo=demo)


def test_the_headers_are_those_of_the_documented_example() -> None:
    """All headers of the example, and no other."""
    assert headers(credentials(demo=False), TIMESTAMP_MS, "POST", PATH, COMPACT) == {
        "ACCESS-KEY": "key",
        "ACCESS-SIGN": "5irSl4NT3fWqr0vF6onFe69vT0TK5GG/WMa8pkNyWDg=",
        "ACCESS-PASSPHRASE": "pass",
        "ACCESS-TIMESTAMP": "1659076670000",
        "locale": "en-US",
        "Content-Type": "application/json",
    }


def test_a_demo_trading_key_adds_its_header() -> None:
    """`paptrading: 1` marks the request as one of demo trading."""
    assert headers(credentials(demo=True), TIMESTAMP_MS, "POST", PATH, COMPACT)["paptrading"] == "1"


def test_the_language_of_messages_can_be_chosen() -> None:
    """The locale is not signed, so the signature stays the same."""
    chosen = headers(credentials(demo=False), TIMESTAMP_MS, "POST", PATH, COMPACT, locale="zh-CN")

    assert chosen["locale"] == "zh-CN"
    assert chosen["ACCESS-SIGN"] == "5irSl4NT3fWqr0vF6onFe69vT0TK5GG/WMa8pkNyWDg="


def test_the_repr_of_the_headers_shows_names_only() -> None:
    """Also in an f-string and inside other objects."""
    signed = headers(credentials(demo=False), TIMESTAMP_MS, "POST", PATH, COMPACT)

    for shown in (repr(signed), str(signed), f"{signed}", repr({"headers": [signed]})):
        assert "ACCESS-SIGN=<secret>" in shown
        assert not [value for name, value in signed.items() if name.startswith("ACCESS-") and f"={value}" in shown]
