"""The exchange itself: requests in, verdicts out. No I/O; the times are handed in.

A request is first admitted (the limits, at the moment it arrives), then judged (everything else, when its body is
there). The checks, in their order:

    admitted   the remote IP's limit                                  429, HTTP 429
               the user's limit at this endpoint                      429, HTTP 429
    judged     the URL is one that is served                          40404
               the headers are there                                  40001, 40002, 40003, 40011
               the key is known                                       40037
               the account is of the classic mode                     40085
               key and header paptrading are of one environment       40099
               passphrase                                             40012
               timestamp                                              40005, 40008
               signature                                              40009
               content type                                           40007
               the body, field by field                               see `ops.exchange.fields`

Sources: Bitget API documentation, "Signature", "REST API error codes", "Rate limit", "Demo trading REST API". Every
rejection has HTTP status 400, as seen on the live API. That 40085 comes before the signature was seen there too; the
rest of the order is the double's.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qs

from ops.exchange import fields, verdicts
from ops.exchange.accounts import Account, Accounts
from ops.exchange.verdicts import Verdict, granted, refused
from ops.exchange.windows import SECOND_NS, EgressWindow, SlidingWindow

SETTINGS = "/api/v2/copy/mix-follower/settings"
QUERY_SETTINGS = "/api/v2/copy/mix-follower/query-settings"
PUBLIC_TIME = "/api/v2/public/time"
ROUTES = {("POST", SETTINGS), ("GET", QUERY_SETTINGS), ("GET", PUBLIC_TIME)}

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


class Call(NamedTuple):
    """A request as it came.

    Attributes:
        method: in capitals.
        target: path and query, not decoded.
        headers: found whatever the case of their names.
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
    """What ACCESS-SIGN must be: base64 of HMAC-SHA256 over timestamp + METHOD + path[?query] + body.

    Args:
        secret_key: the key of the HMAC.
        timestamp: the value of ACCESS-TIMESTAMP.
        method: in capitals.
        target: path and query as they were sent.
        body: the bytes that were sent; b"" for a GET.
    """
    signed = f"{timestamp}{method}{target}".encode("utf-8", "surrogateescape") + body
    return base64.b64encode(hmac.digest(secret_key.encode(), signed, "sha256")).decode()


class Exchange:
    """The accounts, their limits and the settings they were given.

    Args:
        accounts: who may ask.
        user_rate_per_s: most arrivals of one user at one endpoint in any second.
        egress_per_min: most arrivals of one remote IP in any minute.
        egress_recovery_s: how long an IP that breached its limit is refused everything, seconds.
    """

    def __init__(
        self, accounts: Accounts, *, user_rate_per_s: int, egress_per_min: int, egress_recovery_s: float
    ) -> None:
        self._accounts = accounts
        self._user_rate_per_s = user_rate_per_s
        self._egress_per_min = egress_per_min
        self._egress_recovery_ns = round(egress_recovery_s * SECOND_NS)
        self._users: dict[tuple[str, str], SlidingWindow] = {}
        self._egress: dict[str, EgressWindow] = {}
        self._kept: dict[str, dict[str, Settings]] = {}

    def admit(self, at_ns: int, remote: str, call: Call) -> tuple[Account | None, bool]:
        """Count an arrival toward the limits. The body need not be there yet.

        Args:
            at_ns: when the request arrived; not before the one admitted last.
            remote: the IP it came from.
            call: the request.

        Returns:
            The account of its key, if there is one, and whether the request is within all limits.
        """
        egress = self._egress.get(remote)
        if egress is None:
            egress = self._egress[remote] = EgressWindow(self._egress_per_min, self._egress_recovery_ns)
        within = egress.admits(at_ns)
        account = self._accounts.find(call.headers.get("ACCESS-KEY", ""))
        if account is not None and (call.method, call.path) in ROUTES and call.path != PUBLIC_TIME:
            key = (account.user, call.path)
            window = self._users.get(key)
            if window is None:
                window = self._users[key] = SlidingWindow(self._user_rate_per_s, SECOND_NS)
            within = window.admits(at_ns) and within
        return account, within

    def judge(self, call: Call, account: Account | None, now_ms: int) -> Verdict:
        """Answer a request that was admitted, and keep what it sets.

        Args:
            call: the request with its body.
            account: the account of its key, as `admit` found it.
            now_ms: the exchange's time, Unix milliseconds.
        """
        path = call.path
        if (call.method, path) not in ROUTES:
            return refused(verdicts.URL_NOT_FOUND)
        if path == PUBLIC_TIME:
            return granted({"serverTime": str(now_ms)})
        for header, code in REQUIRED_HEADERS.items():
            if not call.headers.get(header):
                return refused(code)
        if account is None:
            return refused(verdicts.KEY_UNKNOWN)
        if error := _authentication_error(call, account, now_ms):
            return refused(error)
        return self._query(call, account.user) if path == QUERY_SETTINGS else self._set(call, account.user)

    def settings_of(self, user: str) -> dict[str, list[dict[str, str]]]:
        """The settings that a user was given, by trader, in the order in which each pair came first."""
        return {trader: list(settings.values()) for trader, settings in self._kept.get(user, {}).items()}

    def know(self, accounts: Accounts) -> None:
        """Replaces the accounts: other keys are unknown from now on. Limits and settings stay the users'."""
        self._accounts = accounts

    def reset_limits(self) -> None:
        """Forget all arrivals and recoveries. Settings stay."""
        self._users.clear()
        self._egress.clear()

    def _set(self, call: Call, user: str) -> Verdict:
        try:
            change = fields.check(fields.read(call.body))
        except fields.FieldError as error:
            return refused(error.code, error.message)
        kept = self._kept.setdefault(user, {}).setdefault(change.trader, {})
        for setting in change.settings:
            # Whether the exchange merges or replaces an entry is not documented; the double replaces it.
            kept[setting["symbol"], setting["productType"]] = setting
        return granted("success")

    def _query(self, call: Call, user: str) -> Verdict:
        trader = parse_qs(call.target.partition("?")[2]).get("traderId", [""])[0]
        if not trader:
            return refused(verdicts.FIELD_EMPTY, "traderId is required")
        kept = self._kept.get(user, {}).get(trader, {})
        # Unset values are empty strings there (Bitget API documentation, "Query Copy Trade Settings").
        details = [{name: setting.get(name, "") for name in fields.SETTING_RULES} for setting in kept.values()]
        return granted({"followerEnable": "YES" if kept else "NO", "detailList": details})


def _authentication_error(call: Call, account: Account, now_ms: int) -> str | None:
    headers = call.headers
    if account.uta:
        return verdicts.UNIFIED_ACCOUNT
    if (headers.get("paptrading") == "1") != account.demo:
        return verdicts.WRONG_ENVIRONMENT
    if not _same(headers["ACCESS-PASSPHRASE"], account.passphrase):
        return verdicts.PASSPHRASE_WRONG
    timestamp = headers["ACCESS-TIMESTAMP"]
    if not TIMESTAMP.fullmatch(timestamp):
        return verdicts.TIMESTAMP_INVALID
    if abs(now_ms - int(timestamp)) > MAX_SKEW_MS:
        return verdicts.TIMESTAMP_EXPIRED
    expected = signature(account.secret_key, timestamp, call.method, call.target, call.body)
    if not _same(headers["ACCESS-SIGN"], expected):
        return verdicts.SIGNATURE_WRONG
    if call.method == "POST" and headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        return verdicts.CONTENT_TYPE_INVALID
    return None


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
