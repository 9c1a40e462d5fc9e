"""The exchange's rules, without a network, on a clock that the tests set."""

from __future__ import annotations

import json

import pytest

from ops.exchange import Account
from ops.exchange.rules import QUERY_PATH, SETTINGS_PATH, TIME_PATH, Exchange, Request, signature
from ops.exchange.verdicts import Verdict, encode_reply
from ops.exchange.windows import SECOND_NS
from tests.support.signed_requests import ACCOUNTS, ALICE, ALICE_TOO, BOB, DEMO, TRADER, UNIFIED, body, headers, setting

NOW_MS = 1_659_076_670_000
VECTOR_SECRET = "test-secret-0123456789abcdef"
EXAMPLE = {
    "traderId": "123123123",
    "settings": [
        {
            "symbol": "BTCUSDT",
            "productType": "USDT-FUTURES",
            "marginType": "trader",
            "marginCoin": "USDT",
            "leverType": "trader",
            "traceType": "amount",
            "traceValue": "330",
            "maxHoldSize": "5000",
        }
    ],
}


@pytest.fixture
def exchange() -> Exchange:
    """An exchange with the documented limits."""
    return Exchange(ACCOUNTS, user_rate_per_s=10, egress_per_min=6000, egress_recovery_s=300)


def ask(exchange: Exchange, account: Account, content: bytes, **header: str | None) -> Verdict:
    """Return the verdict on a change signed now, with some headers changed; None removes one."""
    changed = headers(account, content, at_ms=NOW_MS) | {
        name.replace("_", "-"): value for name, value in header.items()
    }
    call = Request(
        "POST", SETTINGS_PATH, {name: value for name, value in changed.items() if value is not None}, content
    )
    known, _ = exchange.admit(0, "192.0.2.1", call)
    return exchange.evaluate(call, known, NOW_MS)


def query(exchange: Exchange, account: Account, target: str) -> Verdict:
    signed = headers(account, method="GET", target=target, at_ms=NOW_MS)
    return exchange.evaluate(Request("GET", target, signed, b""), account, NOW_MS)


@pytest.mark.parametrize(
    ("method", "target", "content", "expected"),
    [
        # Signed with ccxt 4.5.90 (its compact JSON) and, the same, with a three-line HMAC of its own.
        (
            "POST",
            SETTINGS_PATH,
            json.dumps(EXAMPLE, separators=(",", ":")),
            "5irSl4NT3fWqr0vF6onFe69vT0TK5GG/WMa8pkNyWDg=",
        ),
        # Signed with the three-line HMAC only: Python's default JSON, with spaces, which ccxt cannot send.
        ("POST", SETTINGS_PATH, json.dumps(EXAMPLE), "YJUU8SED6X1I59fyTz7vrGpyUw0RcpkPydAHC4fQ5gU="),
        # Signed with ccxt 4.5.90 and the three-line HMAC: a query and no body.
        ("GET", f"{QUERY_PATH}?traderId=123123123", "", "Mz4U/TTs7+m9DmiS3bXUtIO1O0Xv+yxKRxrlRfXBnNA="),
    ],
)
def test_signatures_are_those_of_other_clients_of_the_exchange(
    method: str, target: str, content: str, expected: str
) -> None:
    """The expected values come from ccxt and from an independent HMAC, not from this project's code."""
    assert signature(VECTOR_SECRET, "1659076670000", method, target, content.encode()) == expected


def test_a_well_signed_change_is_granted_and_kept(exchange: Exchange) -> None:
    """The settings are stored under the user and the trader."""
    assert ask(exchange, ALICE, body()) == Verdict(200, "00000", "success", "success")
    assert exchange.settings_for("1001") == {TRADER: [setting()]}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"ACCESS_KEY": None}, "40001"),
        ({"ACCESS_SIGN": ""}, "40002"),
        ({"ACCESS_TIMESTAMP": None}, "40003"),
        ({"ACCESS_PASSPHRASE": None}, "40011"),
        ({"ACCESS_KEY": "nobody"}, "40037"),
        ({"ACCESS_PASSPHRASE": "wrong"}, "40012"),
        ({"ACCESS_TIMESTAMP": "yesterday"}, "40005"),
        ({"ACCESS_TIMESTAMP": "-1"}, "40005"),
        ({"ACCESS_TIMESTAMP": str(NOW_MS - 30_001)}, "40008"),
        ({"ACCESS_TIMESTAMP": str(NOW_MS + 30_001)}, "40008"),
        ({"ACCESS_TIMESTAMP": str(NOW_MS // 1000)}, "40008"),
        ({"ACCESS_TIMESTAMP": str(NOW_MS + 1)}, "40009"),
        ({"ACCESS_SIGN": "c2lnbmF0dXJl"}, "40009"),
        ({"ACCESS_SIGN": "\udcff"}, "40009"),
        ({"Content_Type": "text/plain"}, "40007"),
        ({"paptrading": "1"}, "40099"),
    ],
)
def test_a_bad_header_is_refused_with_its_code_and_nothing_is_kept(
    exchange: Exchange, header: dict[str, str | None], code: str
) -> None:
    """The HTTP status is 400 in every case."""
    verdict = ask(exchange, ALICE, body(), **header)
    assert (verdict.status, verdict.code) == (400, code)
    assert exchange.settings_for("1001") == {}


def test_a_timestamp_exactly_30_seconds_off_is_still_good(exchange: Exchange) -> None:
    """The bound is inclusive, for early and for late clocks."""
    content = body()
    for at_ms in (NOW_MS - 30_000, NOW_MS + 30_000):
        call = Request("POST", SETTINGS_PATH, headers(ALICE, content, at_ms=at_ms), content)
        assert exchange.evaluate(call, ALICE, NOW_MS).is_success


def test_a_body_of_the_same_meaning_but_other_bytes_than_those_signed_is_refused(exchange: Exchange) -> None:
    """The signature covers bytes, so one added space breaks it."""
    signed = headers(ALICE, body(), at_ms=NOW_MS)
    verdict = exchange.evaluate(Request("POST", SETTINGS_PATH, signed, body() + b" "), ALICE, NOW_MS)
    assert verdict.code == "40009"


def test_demo_keys_need_the_demo_header(exchange: Exchange) -> None:
    """Code 40099 reports a key of the other environment."""
    assert ask(exchange, DEMO, body()).is_success
    assert ask(exchange, DEMO, body(), paptrading=None).code == "40099"


def test_a_unified_account_is_refused_before_its_signature_is_looked_at(exchange: Exchange) -> None:
    """As seen on the live API."""
    assert ask(exchange, UNIFIED, body(), ACCESS_SIGN="wrong").code == "40085"


def test_one_bad_setting_refuses_the_whole_change(exchange: Exchange) -> None:
    """The valid settings of the same request are not kept either."""
    assert ask(exchange, ALICE, body(setting(), setting(symbol="ETHUSDT", leverType="none"))).code == "40020"
    assert exchange.settings_for("1001") == {}


def test_a_later_change_replaces_the_settings_of_its_pairs_and_leaves_the_others(exchange: Exchange) -> None:
    """A pair is a symbol and a product type; fields that the later change omits are dropped."""
    ask(exchange, ALICE, body(setting(), setting(symbol="ETHUSDT")))
    ask(exchange, ALICE, body(setting(traceValue="7", maxHoldSize=None)))
    assert exchange.settings_for("1001")[TRADER] == [
        setting(traceValue="7", maxHoldSize=None),
        setting(symbol="ETHUSDT"),
    ]


def test_the_kept_settings_can_be_queried_by_their_user(exchange: Exchange) -> None:
    """Unset values are empty strings; a user without settings for the trader does not follow it."""
    ask(exchange, ALICE, body())
    data = query(exchange, ALICE, f"{QUERY_PATH}?traderId={TRADER}").data
    assert data["followerEnable"] == "YES"
    assert data["detailList"][0] | setting() == data["detailList"][0]
    assert data["detailList"][0]["stopLossRatio"] == ""
    assert query(exchange, BOB, f"{QUERY_PATH}?traderId={TRADER}").data == {"followerEnable": "NO", "detailList": []}
    assert query(exchange, ALICE, QUERY_PATH).code == "40019"


def test_the_time_needs_no_key(exchange: Exchange) -> None:
    """It is a string in the data and a number in the envelope."""
    verdict = exchange.evaluate(Request("GET", TIME_PATH, {}, b""), None, NOW_MS)
    assert json.loads(encode_reply(verdict, NOW_MS)) == {
        "code": "00000",
        "msg": "success",
        "requestTime": NOW_MS,
        "data": {"serverTime": str(NOW_MS)},
    }


@pytest.mark.parametrize(
    ("method", "target"), [("GET", SETTINGS_PATH), ("POST", QUERY_PATH), ("GET", "/"), ("POST", "")]
)
def test_other_urls_and_methods_are_not_found(exchange: Exchange, method: str, target: str) -> None:
    """The HTTP status is 400 with code 40404, not 404."""
    verdict = exchange.evaluate(Request(method, target, {}, b""), None, NOW_MS)
    assert (verdict.status, verdict.code) == (400, "40404")


def admitted(
    exchange: Exchange, at_ns: int, account: Account, target: str = SETTINGS_PATH, remote: str = "192.0.2.1"
) -> bool:
    """Return whether an unsigned request with an account's key is within the limits."""
    method = "POST" if target == SETTINGS_PATH else "GET"
    return exchange.admit(at_ns, remote, Request(method, target, {"ACCESS-KEY": account.api_key}, b""))[1]


def test_all_keys_of_a_user_share_one_limit(exchange: Exchange) -> None:
    """Two keys together get 10 requests, and another user is not affected."""
    assert all(admitted(exchange, at_ns, (ALICE, ALICE_TOO)[at_ns % 2]) for at_ns in range(10))
    assert not admitted(exchange, 10, ALICE)
    assert not admitted(exchange, 11, ALICE_TOO)
    assert admitted(exchange, 12, BOB)


def test_each_endpoint_has_its_own_limit_and_the_time_has_none_per_user(exchange: Exchange) -> None:
    """Reads do not use up writes, and a query string does not make another endpoint."""
    assert all(admitted(exchange, at_ns, ALICE) for at_ns in range(10))
    assert all(admitted(exchange, at_ns, ALICE, f"{QUERY_PATH}?traderId={at_ns}") for at_ns in range(10, 20))
    assert not admitted(exchange, 20, ALICE, f"{QUERY_PATH}?traderId=20")
    assert all(admitted(exchange, at_ns, ALICE, TIME_PATH) for at_ns in range(21, 41))


def test_all_users_of_an_ip_share_its_limit_and_another_ip_is_untouched() -> None:
    """The breach lasts exactly the recovery time of 300 s."""
    exchange = Exchange(ACCOUNTS, user_rate_per_s=10, egress_per_min=3, egress_recovery_s=300)
    assert [admitted(exchange, 0, account) for account in (ALICE, BOB, DEMO, ALICE)] == [True, True, True, False]
    assert not admitted(exchange, 299 * SECOND_NS, BOB)
    assert admitted(exchange, 299 * SECOND_NS, BOB, remote="192.0.2.2")
    assert admitted(exchange, 300 * SECOND_NS, BOB)


def test_a_reset_forgets_the_arrivals_but_not_the_settings(exchange: Exchange) -> None:
    """One double can serve several runs, each with fresh limits."""
    for _ in range(11):
        ask(exchange, ALICE, body())
    assert not admitted(exchange, 0, ALICE)
    exchange.reset_limits()
    assert admitted(exchange, 0, ALICE)
    assert exchange.settings_for("1001") == {TRADER: [setting()]}
