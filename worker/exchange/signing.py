"""Signing a request. No I/O, no clock.

Bitget API documentation, "Signature" and "HMAC", read December 2025:

    ACCESS-SIGN = base64(HMAC_SHA256(secretKey, timestamp + METHOD + requestPath + ["?" + queryString] + body))

`timestamp` is Unix milliseconds, the same text as in ACCESS-TIMESTAMP. There is no rule for the body but one: the bytes
signed are the bytes sent. So encode once, and hand the same object to `headers` and to the connection.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterator, Mapping

from worker.credentials.model import Credentials
from worker.secret import HIDDEN, Secret

SIGNATURE = "ACCESS-SIGN"


class SignedHeaders(Mapping[str, str]):
    """The headers of a signed request, to be handed to the connection. Whoever shows them shows their names only."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"SignedHeaders({', '.join(f'{name}={HIDDEN}' for name in self)})"


def sign(secret_key: Secret, timestamp_ms: int, method: str, path: str, body: bytes) -> str:
    """The signature of one request.

    Args:
        secret_key: the secret key of the user's API key.
        timestamp_ms: Unix milliseconds, on the exchange's clock.
        method: in capitals, such as "POST".
        path: the path without the host, with "?" and the raw query if there is one.
        body: the bytes that are sent, b"" for none.

    Returns:
        The value of ACCESS-SIGN: 44 characters of base64.
    """
    message = f"{timestamp_ms}{method}{path}".encode() + body
    return b64encode(hmac.digest(secret_key.reveal().encode(), message, "sha256")).decode()


def headers(
    credentials: Credentials, timestamp_ms: int, method: str, path: str, body: bytes, locale: str = "en-US"
) -> SignedHeaders:
    """All headers of one signed request, those of the endpoint's example.

    Args:
        credentials: whose request it is.
        timestamp_ms: Unix milliseconds, on the exchange's clock. Take it after all waiting: it lives for 30 s.
        method: in capitals.
        path: as in `sign`.
        body: as in `sign`.
        locale: the language of the reply's message.

    Returns:
        Header name to value.
    """
    named = {
        "ACCESS-KEY": credentials.api_key.reveal(),
        SIGNATURE: sign(credentials.secret_key, timestamp_ms, method, path, body),
        "ACCESS-PASSPHRASE": credentials.passphrase.reveal(),
        "ACCESS-TIMESTAMP": str(timestamp_ms),
        "locale": locale,
        "Content-Type": "application/json",
    }
    if credentials.demo:
        # Only with a key of demo trading: the wrong pair is refused with 40099 ("Demo trading REST API", ibid.).
        named["paptrading"] = "1"
    return SignedHeaders(named)
