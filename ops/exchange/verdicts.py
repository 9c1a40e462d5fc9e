"""The exchange's replies: verdicts, their codes and their JSON encoding. No I/O.

The codes are from the Bitget API documentation, "REST API error codes"; the messages are the double's own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

SUCCESS = "00000"
TOO_MANY_REQUESTS = "429"
KEY_MISSING = "40001"
SIGNATURE_MISSING = "40002"
TIMESTAMP_MISSING = "40003"
TIMESTAMP_INVALID = "40005"
CONTENT_TYPE_INVALID = "40007"
TIMESTAMP_EXPIRED = "40008"
SIGNATURE_WRONG = "40009"
PASSPHRASE_MISSING = "40011"  # noqa: S105  a code, not a secret
PASSPHRASE_WRONG = "40012"  # noqa: S105  a code, not a secret
SYSTEM_ABNORMAL = "40015"
VERIFICATION_FAILED = "40017"
FIELD_EMPTY = "40019"
FIELD_WRONG = "40020"
DOES_NOT_EXIST = "40034"
KEY_UNKNOWN = "40037"
TOO_MANY_ENTRIES = "40058"
UNIFIED_ACCOUNT = "40085"
WRONG_ENVIRONMENT = "40099"
URL_NOT_FOUND = "40404"
SERVICE_ERROR = "40725"
VALUE_WRONG = "40808"
RATIO_TOO_SMALL = "31035"
TAKE_PROFIT_OUT_OF_RANGE = "31040"
STOP_LOSS_OUT_OF_RANGE = "31041"
LEVERAGE_OUT_OF_RANGE = "43050"

MESSAGES = {
    TOO_MANY_REQUESTS: "Too Many Requests",
    KEY_MISSING: "header ACCESS-KEY is missing",
    SIGNATURE_MISSING: "header ACCESS-SIGN is missing",
    TIMESTAMP_MISSING: "header ACCESS-TIMESTAMP is missing",
    TIMESTAMP_INVALID: "ACCESS-TIMESTAMP is not a whole number of milliseconds",
    CONTENT_TYPE_INVALID: "Content-Type is not application/json",
    TIMESTAMP_EXPIRED: "the timestamp is further than 30 s from the server's time",
    SIGNATURE_WRONG: "the signature does not match timestamp + method + path + body",
    PASSPHRASE_MISSING: "header ACCESS-PASSPHRASE is missing",
    PASSPHRASE_WRONG: "the passphrase is not this API key's",
    SYSTEM_ABNORMAL: "the system is abnormal, try again later",
    KEY_UNKNOWN: "there is no such API key",
    UNIFIED_ACCOUNT: "the account is in unified mode, which the classic API does not serve",
    WRONG_ENVIRONMENT: "the API key and the paptrading header are of different environments",
    URL_NOT_FOUND: "there is no such URL",
    SERVICE_ERROR: "the service returned an error",
}


class Verdict(NamedTuple):
    """One reply of the exchange.

    Attributes:
        status: HTTP status; 400 for nearly every rejection, 429 for a limit.
        code: the exchange's code, a string of digits; "00000" is success.
        message: the text for humans, `msg` on the wire.
        data: the value of `data`; None in a rejection.
    """

    status: int
    code: str
    message: str
    data: Any = None

    @property
    def is_success(self) -> bool:
        """Whether the request was accepted: code 00000, and not `data: "fail"`."""
        return self.code == SUCCESS and self.data != "fail"


class _Envelope(msgspec.Struct, rename="camel"):
    code: str
    msg: str
    request_time: int
    data: Any


_encoder = msgspec.json.Encoder()


def accept(data: object) -> Verdict:
    """Return the verdict of a request that succeeds."""
    return Verdict(200, SUCCESS, "success", data)


def reject(code: str, message: str | None = None, status: int = 400) -> Verdict:
    """Return the verdict of a rejected request. `message` defaults to the text in `MESSAGES`."""
    return Verdict(status, code, message or MESSAGES.get(code, f"rejected with code {code}"))


THROTTLED = reject(TOO_MANY_REQUESTS, status=429)
"""The verdict of a request over a limit."""


def encode_reply(verdict: Verdict, now_ms: int) -> bytes:
    """Return the JSON body of a verdict; `now_ms` (the exchange's time, Unix milliseconds) becomes `requestTime`."""
    return _encoder.encode(_Envelope(verdict.code, verdict.message, now_ms, verdict.data))
