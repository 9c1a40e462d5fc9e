"""Signatures of requests. No I/O, no clock.

Bitget API documentation, "Signature" and "HMAC", read December 2025:

    ACCESS-SIGN = base64(HMAC_SHA256(secretKey, timestamp + METHOD + requestPath + ["?" + queryString] + body))

`timestamp` is Unix milliseconds, the same text as in ACCESS-TIMESTAMP. The bytes signed must be the bytes sent, so
encode the body once and pass the same object to `headers` and to the client.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterator, Mapping

from worker.credentials.model import Credentials
from worker.secret import HIDDEN, Secret

SIGNATURE = "ACCESS-SIGN"


class SignedHeaders(Mapping[str, str]):
    """The headers of a signed request. Their `repr` shows the names only."""

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
    """Return the value of ACCESS-SIGN for one request: 44 characters of base64.

    Args:
        secret_key: the secret key of the user's API key.
        timestamp_ms: Unix milliseconds, on the exchange's clock.
        method: in capitals, such as "POST".
        path: the path without the host, with "?" and the raw query if there is one.
        body: the bytes that are sent, b"" for none.
    """
    message = f"{timestamp_ms}{method}{path}".encode() + body
    return b64encode(hmac.digest(secret_key.reveal().encode(), message, "sha256")).decode()


def headers(
    credentials: Credentials, timestamp_ms: int, method: str, path: str, body: bytes, locale: str = "en-US"
) -> SignedHeaders:
    """Return all headers of one signed request, as in the documentation's example.

    Args:
        credentials: the credentials of the user who makes the request.
        timestamp_ms: Unix milliseconds, on the exchange's clock; valid for 30 s, so read the clock after all waits.
        method: in capitals.
        path: as in `sign`.
        body: as in `sign`.
        locale: the language of the reply's message.
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
        # Only for demo trading keys: a mismatch is rejected with 40099 ("Demo trading REST API", ibid.).
        named["paptrading"] = "1"
    return SignedHeaders(named)
