"""The double over the network, with a client of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
from collections.abc import Callable

import aiohttp
import pytest

from ops.exchange import Account, Clock, ExchangeDouble, Fault
from ops.exchange.rules import QUERY_PATH, SETTINGS_PATH, TIME_PATH
from tests.support.signed_requests import ACCOUNTS, ALICE, ALICE_TOO, BOB, TRADER, body, headers, put, setting


async def until(holds: Callable[[], bool]) -> None:
    """Yield to the event loop until a condition holds."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  the double has no event for it, and a turn is not a wait
            await asyncio.sleep(0)


async def test_a_change_is_granted_kept_and_recorded(client: aiohttp.ClientSession, double: ExchangeDouble) -> None:
    """One request is followed from the network to the settings and the ledger."""
    status, text = await put(client, double, value="330")
    reply = json.loads(text)
    assert (status, reply["code"], reply["msg"], reply["data"]) == (200, "00000", "success", "success")
    assert isinstance(reply["requestTime"], int)
    assert double.exchange.settings_for("1001") == {TRADER: [setting(traceValue="330")]}
    (arrival,) = double.ledger.arrivals
    assert (arrival.user, arrival.trader, arrival.values) == ("1001", TRADER, ("330",))
    assert (arrival.status, arrival.code, arrival.accepted, arrival.fault) == (200, "00000", True, "")


async def test_kept_settings_and_time_are_served(client: aiohttp.ClientSession, double: ExchangeDouble) -> None:
    """These are the two read endpoints of the exchange that the double implements."""
    await put(client, double)
    target = f"{QUERY_PATH}?traderId={TRADER}"
    async with client.get(double.url + target, headers=headers(ALICE, method="GET", target=target)) as response:
        assert (await response.json())["data"]["detailList"][0]["traceValue"] == "1"
    async with client.get(double.url + TIME_PATH) as response:
        assert abs(int((await response.json())["data"]["serverTime"]) - double.clock.now_ms()) < 60_000


async def test_a_client_that_leaves_before_its_reply_is_recorded(client: aiohttp.ClientSession) -> None:
    """The requests of a killed worker are recognised by this."""
    async with ExchangeDouble(ACCOUNTS, faults=[Fault("latency", ms=200, user="1001")]) as double:
        leaving = asyncio.create_task(put(client, double, ALICE))
        await until(lambda: bool(double.ledger.arrivals and double.ledger.arrivals[0].trader))
        leaving.cancel()
        await put(client, double, BOB)
        await until(lambda: all(arrival.answered_ns for arrival in double.ledger.arrivals))
        assert [arrival.disconnected for arrival in double.ledger.arrivals] == [True, False]


async def test_the_limits_count_every_key_of_a_user_and_every_arrival(client: aiohttp.ClientSession) -> None:
    """Faults do not hide a breach."""
    async with ExchangeDouble(ACCOUNTS, faults=[Fault("fail", first=3)], clock=Clock(monotonic_ns=lambda: 0)) as double:
        answers = [await put(client, double, (ALICE, ALICE_TOO)[index % 2]) for index in range(12)]
        assert [status for status, _ in answers] == [200] * 10 + [429] * 2
        assert json.loads(answers[-1][1])["code"] == "429"
        assert (await put(client, double, BOB))[0] == 200
    users = double.ledger.report().users
    assert (users["1001"].arrivals, users["1001"].accepted, users["1001"].throttled) == (12, 7, 2)
    assert users["1001"].peak_in_1s == 12
    assert users["1002"].throttled == 0


async def test_a_breached_egress_limit_refuses_all_users(client: aiohttp.ClientSession) -> None:
    """Every endpoint of that IP is refused, including the time."""
    async with ExchangeDouble(ACCOUNTS, egress_per_min=2) as double:
        assert [(await put(client, double, account))[0] for account in (ALICE, BOB, ALICE)] == [200, 200, 429]
        async with client.get(double.url + TIME_PATH) as response:
            assert response.status == 429


async def test_a_shifted_clock_refuses_the_machines_time(client: aiohttp.ClientSession, double: ExchangeDouble) -> None:
    """Every reply has the double's own time."""
    double.clock.skew_ms = 45_000
    content = body()
    async with client.post(double.url + SETTINGS_PATH, data=content, headers=headers(ALICE, content)) as response:
        reply = await response.json()
    assert reply["code"] == "40008"
    content = body()
    corrected = headers(ALICE, content, at_ms=reply["requestTime"])
    async with client.post(double.url + SETTINGS_PATH, data=content, headers=corrected) as response:
        assert (await response.json())["code"] == "00000"


@pytest.mark.parametrize(
    ("fault", "status", "part"),
    [
        (Fault("http_429"), 429, '"code":"429"'),
        (Fault("http_500"), 500, ""),
        (Fault("http_502"), 502, "<html>"),
        (Fault("code:45001"), 400, '"code":"45001"'),
        (Fault("fail"), 200, '"data":"fail"'),
        (Fault("html", status=403), 403, "<html>"),
        (Fault("outage"), 503, "<html>"),
    ],
)
async def test_a_fault_that_answers_applies_nothing(
    client: aiohttp.ClientSession, double: ExchangeDouble, fault: Fault, status: int, part: str
) -> None:
    """The arrival is recorded with the trace values of the ignored body."""
    double.faults.add(fault)
    answered, text = await put(client, double, value="9")
    assert answered == status
    assert part in text
    assert double.exchange.settings_for("1001") == {}
    (arrival,) = double.ledger.arrivals
    assert (arrival.fault, arrival.status, arrival.accepted, arrival.values) == (fault.kind, status, False, ("9",))


@pytest.mark.parametrize("fault", [Fault("reset_before"), Fault("hang", ms=1), Fault("outage", status=0)])
async def test_a_connection_that_breaks_before_the_change_applies_nothing(
    client: aiohttp.ClientSession, double: ExchangeDouble, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets a connection error, status 0 is recorded, and aiohttp logs nothing."""
    double.faults.add(fault)
    with pytest.raises(aiohttp.ClientConnectionError):
        await put(client, double)
    assert double.exchange.settings_for("1001") == {}
    assert double.ledger.arrivals[0].status == 0
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


@pytest.mark.parametrize(
    ("kind", "error"), [("reset_after", aiohttp.ClientConnectionError), ("cut", aiohttp.ClientPayloadError)]
)
async def test_a_connection_that_breaks_after_the_change_has_applied_it(
    client: aiohttp.ClientSession, double: ExchangeDouble, kind: str, error: type[Exception]
) -> None:
    """Only the ledger can tell it from a connection that broke before."""
    double.faults.add(Fault(kind))
    with pytest.raises(error):
        await put(client, double)
    assert double.exchange.settings_for("1001") == {TRADER: [setting(traceValue="1")]}
    assert double.ledger.arrivals[0].accepted


async def test_an_empty_reply_has_applied_the_change(client: aiohttp.ClientSession, double: ExchangeDouble) -> None:
    """The reply is status 200 with no body, so the client cannot know that it succeeded."""
    double.faults.add(Fault("empty"))
    assert await put(client, double) == (200, "")
    assert double.ledger.report().accepted == 1


@pytest.mark.parametrize("kind", ["unsolicited", "big_head", "bom", "utf_16", "gzip", "x_gzip"])
async def test_a_reply_that_is_rewritten_has_applied_the_change(double: ExchangeDouble, kind: str) -> None:
    """It has everything that the plain reply has."""
    double.faults.add(Fault(kind))
    async with (
        aiohttp.ClientSession(max_field_size=65_536, max_headers=1_000) as client,
        client.post(double.url + SETTINGS_PATH, data=body(), headers=headers(ALICE, body())) as response,
    ):
        found = await response.read()
        encodings = response.headers.getall("Content-Encoding", [])
    if kind == "x_gzip":
        found = gzip.decompress(found)
    text = found.decode(json.detect_encoding(found))
    assert (json.loads(text)["code"], encodings) == ("00000", [kind.replace("_", "-")] if "gzip" in kind else [])
    assert double.ledger.report().accepted == 1


async def test_an_unsolicited_reply_follows_on_the_same_connection(double: ExchangeDouble) -> None:
    """The second one answers no request."""
    double.faults.add(Fault("unsolicited"))
    reader, writer = await asyncio.open_connection(*double.url.removeprefix("http://").split(":"))
    named = {**headers(ALICE, body()), "Content-Length": len(body()), "Host": "x"}
    writer.write(f"POST {SETTINGS_PATH} HTTP/1.1\r\n".encode())
    writer.write("".join(f"{name}: {value}\r\n" for name, value in named.items()).encode() + b"\r\n" + body())
    for _ in range(2):
        await reader.readuntil(b'"data":"success"}')
    writer.close()
    assert len(double.ledger.arrivals) == 1


async def test_a_stale_reply_has_applied_nothing(client: aiohttp.ClientSession, double: ExchangeDouble) -> None:
    """It says success, with the time of a minute ago."""
    double.faults.add(Fault("stale"))
    status, text = await put(client, double)
    said = json.loads(text)
    assert (status, said["code"], said["data"]) == (200, "00000", "success")
    assert double.clock.now_ms() - 70_000 < said["requestTime"] <= double.clock.now_ms() - 60_000
    assert double.exchange.settings_for("1001") == {}


async def test_latency_delays_the_reply_and_not_the_change(
    client: aiohttp.ClientSession, double: ExchangeDouble
) -> None:
    """A client that gives up on a late reply has still changed its settings."""
    double.faults.add(Fault("latency", ms=3_600_000))
    late = asyncio.create_task(put(client, double))
    await until(lambda: bool(double.exchange.settings_for("1001")))
    assert not late.done()
    assert double.ledger.report().answered == 0
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_recorded(
    double: ExchangeDouble, caplog: pytest.LogCaptureFixture
) -> None:
    """The request counts as an arrival with status 0, and aiohttp logs no error."""
    reader, writer = await asyncio.open_connection(*double.url.removeprefix("http://").split(":"))
    writer.write(f"POST {SETTINGS_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
    await until(lambda: bool(double.ledger.arrivals))
    writer.transport.abort()
    await until(lambda: double.ledger.report().by_status == {"0": 1})
    with contextlib.suppress(ConnectionError):
        await reader.read()
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


async def test_a_body_that_is_too_large_is_refused_and_recorded(
    client: aiohttp.ClientSession, double: ExchangeDouble
) -> None:
    """A body of 2 MB is answered with status 413."""
    async with client.post(double.url + SETTINGS_PATH, data=io.BytesIO(b" " * 2_000_000)) as response:
        assert response.status == 413
    assert double.ledger.report().by_status == {"413": 1}


async def test_no_secret_is_in_a_report_or_an_arrival(client: aiohttp.ClientSession, double: ExchangeDouble) -> None:
    """Neither a granted nor a refused request leaks its API key, secret key or passphrase."""
    await put(client, double)
    await put(client, double, Account(user="x", api_key="alice-key", secret_key="alice-wrong", passphrase="alice-pass"))
    shown = f"{double.ledger.report()} {list(double.ledger.arrivals)} {double!r}"
    assert "alice" not in shown


async def test_a_double_that_does_not_listen_has_no_url() -> None:
    """A second close is harmless."""
    async with ExchangeDouble(ACCOUNTS) as double:
        assert double.url.startswith("http://127.0.0.1:")
    await double.close()
    with pytest.raises(RuntimeError, match="is not started"):
        _ = double.url
