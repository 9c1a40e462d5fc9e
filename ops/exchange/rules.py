"""The exchange's rules, which turn a request into a verdict. No I/O; all times are arguments.

A request is admitted when it arrives (the limits), and evaluated when its body is complete (everything else). The
checks in their order:

    admit      the remote IP's limit                                  429, HTTP 429
               the user's limit at this endpoint                      429, HTTP 429
    evaluate   the URL exists                                         40404
               the headers are present                                40001, 40002, 40003, 40011
               the key is known                                       40037
               the account is in classic mode                         40085
               the key and the paptrading header match                40099
               passphrase                                             40012
               timestamp                                              40005, 40008
               signature                                              40009
               content type                                           40007
               the body, field by field                               see `ops.exchange.fields`

Sources: Bitget API documentation, "Signature", "REST API error codes", "Rate limit", "Demo trading REST API". Every
rejection has HTTP status 400, as seen on the live API. The live API also checks for 40085 before the signature; the
rest of the order is the double's choice.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qs

from ops.exchange import fields, verdicts
from ops.exchange.accounts import Account, Accounts
from ops.exchange.verdicts import Verdict, accept, reject
from ops.exchange.windows import SECOND_NS, EgressWindow, SlidingWindow

SETTINGS_PATH = "/api/v2/copy/mix-follower/settings"
QUERY_PATH = "/api/v2/copy/mix-follower/query-settings"
TIME_PATH = "/api/v2/public/time"
ROUTES = {("POST", SETTINGS_PATH), ("GET", QUERY_PATH), ("GET", TIME_PATH)}

MAX_SKEW_MS = 30_000
"""How far a timestamp may be from the exchange's time (Bitget API documentation, "API interaction")."""

TIMESTAMP = re.compile(r"[0-9]{1,16}")

REQUIRED_HEADERS = {
    "ACCESS-KEY": verdicts.KEY_MISSING,
    "ACCESS-SIGN": verdicts.SIGNATURE_MISSING,
    "ACCESS-TIMESTAMP": verdicts.TIMESTAMP_MISSING,
    "ACCESS-PASSPHRASE": verdicts.PASSPHRASE_MISSING,
}

Settings = dict[tuple[str, str], dict[str, str]]
"""The settings of one user and trader, by (symbol, productType)."""


class Request(NamedTuple):
    """A request as received.

    Attributes:
        method: in capitals.
        target: path and query, not decoded.
        headers: looked up by name in any case.
        body: the bytes received.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


def signature(secret_key: str, timestamp: str, method: str, target: str, body: bytes) -> str:
    """Return the expected ACCESS-SIGN: base64 of HMAC-SHA256 over timestamp + METHOD + path[?query] + body.

    Args:
        secret_key: the key of the HMAC.
        timestamp: the value of ACCESS-TIMESTAMP.
        method: in capitals.
        target: path and query as sent.
        body: the bytes as sent; b"" for a GET.
    """
    signed = f"{timestamp}{method}{target}".encode("utf-8", "surrogateescape") + body
    return base64.b64encode(hmac.digest(secret_key.encode(), signed, "sha256")).decode()


class Exchange:
    """The accounts, their limits and their copy-trade settings.

    Args:
        accounts: the users and their API keys.
        user_rate_per_s: maximum arrivals of a user at an endpoint in any second.
        egress_per_min: maximum arrivals of a remote IP in any minute.
        egress_recovery_s: how long an IP is blocked after a breach, seconds.
    """

    def __init__(
        self, accounts: Accounts, *, user_rate_per_s: int, egress_per_min: int, egress_recovery_s: float
    ) -> None:
        self._accounts = accounts
        egress_recovery_ns = round(egress_recovery_s * SECOND_NS)
        self._users = defaultdict[tuple[str, str], SlidingWindow](lambda: SlidingWindow(user_rate_per_s, SECOND_NS))
        self._egress = defaultdict[str, EgressWindow](lambda: EgressWindow(egress_per_min, egress_recovery_ns))
        self._settings: dict[str, dict[str, Settings]] = {}

    def admit(self, at_ns: int, remote: str, request: Request) -> tuple[Account | None, bool]:
        """Count an arrival toward the limits. Its body need not be complete.

        Args:
            at_ns: time of arrival, not earlier than the previous one.
            remote: the client's IP.
            request: the request.

        Returns:
            The account of its API key, if known, and whether the request is within all limits.
        """
        within = self._egress[remote].admit(at_ns)
        account = self._accounts.find(request.headers.get("ACCESS-KEY", ""))
        if account is not None and (request.method, request.path) in ROUTES and request.path != TIME_PATH:
            within = self._users[account.user, request.path].admit(at_ns) and within
        return account, within

    def evaluate(self, request: Request, account: Account | None, now_ms: int) -> Verdict:
        """Return the verdict of an admitted request, and store the settings that it changes.

        Args:
            request: the request with its body.
            account: the account that `admit` returned.
            now_ms: the exchange's time, Unix milliseconds.
        """
        path = request.path
        if (request.method, path) not in ROUTES:
            return reject(verdicts.URL_NOT_FOUND)
        if path == TIME_PATH:
            return accept({"serverTime": str(now_ms)})
        for header, code in REQUIRED_HEADERS.items():
            if not request.headers.get(header):
                return reject(code)
        if account is None:
            return reject(verdicts.KEY_UNKNOWN)
        if error := _authentication_error(request, account, now_ms):
            return reject(error)
        return self._query(request, account.user) if path == QUERY_PATH else self._update(request, account.user)

    def settings_for(self, user: str) -> dict[str, list[dict[str, str]]]:
        """Return the settings of a user by trader; those of a trader in the order in which they were first set."""
        return {trader: list(settings.values()) for trader, settings in self._settings.get(user, {}).items()}

    def replace_accounts(self, accounts: Accounts) -> None:
        """Replace the accounts; other API keys become unknown. Each user keeps its limits and settings."""
        self._accounts = accounts

    def reset_limits(self) -> None:
        """Clear all windows and recoveries. Settings stay."""
        self._users.clear()
        self._egress.clear()

    def _update(self, request: Request, user: str) -> Verdict:
        try:
            change = fields.validate(fields.decode_json(request.body))
        except fields.FieldError as error:
            return reject(error.code, error.message)
        settings = self._settings.setdefault(user, {}).setdefault(change.trader, {})
        for setting in change.settings:
            # Whether the exchange merges or replaces an entry is not documented; the double replaces it.
            settings[setting["symbol"], setting["productType"]] = setting
        return accept("success")

    def _query(self, request: Request, user: str) -> Verdict:
        trader = parse_qs(request.target.partition("?")[2]).get("traderId", [""])[0]
        if not trader:
            return reject(verdicts.FIELD_EMPTY, "traderId is required")
        settings = self._settings.get(user, {}).get(trader, {})
        # Unset values are empty strings (Bitget API documentation, "Query Copy Trade Settings").
        details = [{name: setting.get(name, "") for name in fields.SETTING_RULES} for setting in settings.values()]
        return accept({"followerEnable": "YES" if settings else "NO", "detailList": details})


def _authentication_error(request: Request, account: Account, now_ms: int) -> str | None:
    headers = request.headers
    if account.uta:
        return verdicts.UNIFIED_ACCOUNT
    if (headers.get("paptrading") == "1") != account.demo:
        return verdicts.WRONG_ENVIRONMENT
    if not _equal(headers["ACCESS-PASSPHRASE"], account.passphrase):
        return verdicts.PASSPHRASE_WRONG
    timestamp = headers["ACCESS-TIMESTAMP"]
    if not TIMESTAMP.fullmatch(timestamp):
        return verdicts.TIMESTAMP_INVALID
    if abs(now_ms - int(timestamp)) > MAX_SKEW_MS:
        return verdicts.TIMESTAMP_EXPIRED
    expected = signature(account.secret_key, timestamp, request.method, request.target, request.body)
    if not _equal(headers["ACCESS-SIGN"], expected):
        return verdicts.SIGNATURE_WRONG
    if request.method == "POST" and headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        return verdicts.CONTENT_TYPE_INVALID
    return None


def _equal(value: str, expected: str) -> bool:
    return hmac.compare_digest(value.encode("utf-8", "surrogateescape"), expected.encode())
