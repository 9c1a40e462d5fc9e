"""Several egresses, each of worker processes with an address, or a proxy, of its own."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ops.stack import Stack, User, write_credentials
from producers import JobResult, Producer, WaitReason
from producers.contract.messages import Outcome
from tests.acceptance.conftest import USERS, WITHIN_S
from tests.support.changes import change
from tests.support.proxies import ESTABLISHED, connect_proxy
from tests.support.relays import relay
from tests.support.tls import Authority
from worker.exchange.endpoint import SETTINGS_PATH, TIME_PATH

NEAR, FAR = "127.0.0.2", "127.0.0.3"
OF_NEAR, OF_FAR, OF_NONE = USERS[:10], USERS[10:20], USERS[20:30]
CHANGES = 3
LIMIT_PER_MIN = 75
"""Requests of one address that the double admits in a minute: fewer than all together, more than one egress sends."""

REFUSED = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
async def stack(valkey_dsn: str, tmp_path: Path, log_path: Path) -> AsyncIterator[Stack]:
    """A double that admits little from each address."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    options = ("--egress-per-min", str(LIMIT_PER_MIN))
    async with Stack(valkey_dsn, credentials, credentials, options, log_path=log_path) as running:
        yield running


async def start(stack: Stack) -> None:
    """Start a worker of each egress, whose limit is 20 requests a second."""
    for name, address in (("near", NEAR), ("far", FAR)):
        await stack.start_workers(
            COPYTRADE_EGRESS=name, COPYTRADE_EGRESS_BIND=address, COPYTRADE_EGRESS_RATE_PER_S="20"
        )


async def pin(producer: Producer) -> None:
    """Pin ten users to each egress."""
    await producer.pin_users(dict.fromkeys(OF_NEAR, "near") | dict.fromkeys(OF_FAR, "far"))


async def test_pinned_users_leave_by_their_address_and_others_by_any(stack: Stack) -> None:
    """So does each worker's request for the time. Each address is within its own limit, which all together are not."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        await pin(producer)
        everybody = [change(user, value=str(n)) for n in range(1, CHANGES + 1) for user in OF_NEAR + OF_FAR + OF_NONE]
        jobs = (await producer.enqueue_many(everybody)).jobs
        await start(stack)
        results: list[JobResult] = list(await asyncio.gather(*(job.result() for job in jobs)))
        arrivals = await stack.arrivals()

    assert {result.outcome for result in results} == {Outcome.APPLIED}
    remotes = defaultdict(set)
    for arrival in arrivals:
        if arrival["path"] == SETTINGS_PATH:
            remotes[arrival["user"]].add(arrival["remote"])
    assert all(remotes[user] == {NEAR} for user in OF_NEAR)
    assert all(remotes[user] == {FAR} for user in OF_FAR)
    assert set().union(*(remotes[user] for user in OF_NONE)) == {NEAR, FAR}
    assert {arrival["remote"] for arrival in arrivals if arrival["path"] == TIME_PATH} == {NEAR, FAR}
    assert len(arrivals) > LIMIT_PER_MIN
    assert not any(arrival["throttled"] for arrival in arrivals)


async def test_the_breaker_of_one_egress_does_not_hold_the_other(stack: Stack) -> None:
    """Its own users wait, and go on when the exchange serves them again."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        await pin(producer)
        await stack.set_faults(*({"kind": "http_502", "user": user} for user in OF_NEAR))
        await start(stack)
        failing = (await producer.enqueue_many([change(user) for user in OF_NEAR])).jobs
        await _open_breaker(producer, "near")
        served = (await producer.enqueue_many([change(user) for user in OF_FAR])).jobs
        results = await asyncio.gather(*(job.result() for job in served))
        wait = (await failing[0].status()).wait
        troubles = await _trouble(producer)
        await stack.set_faults()
        last = await asyncio.gather(*(job.result() for job in failing))

    assert {result.outcome for result in [*results, *last]} == {Outcome.APPLIED}
    assert (troubles["near"], troubles["far"]) == ("failing", None)
    assert wait is None or wait.reason in (WaitReason.BREAKER_OPEN, WaitReason.BACK_OFF)


async def _open_breaker(producer: Producer, egress: str) -> None:
    """Wait until the breaker of an egress is open."""
    while (await _trouble(producer)).get(egress) is None:  # noqa: ASYNC110 - only the server knows
        await asyncio.sleep(0.05)


async def _trouble(producer: Producer) -> dict[str, str | None]:
    found: dict[str, str | None] = {"near": None, "far": None}
    return found | {egress.name: egress.trouble for egress in (await producer.overview()).egresses}


async def test_a_proxy_that_refuses_holds_its_egress_only_and_costs_no_try(
    stack: Stack, tmp_path: Path, log_path: Path
) -> None:
    """One user is enough to open its breaker. With the right password, everything goes through it, in TLS."""
    authority = Authority.new(tmp_path)
    port = int(stack.exchange_url.rpartition(":")[2])
    async with (
        asyncio.timeout(WITHIN_S),
        Producer.connect(stack.redis_dsn) as producer,
        relay(port, authority.context("127.0.0.1")) as exchange,
        connect_proxy(REFUSED) as proxy,
    ):
        await producer.pin_users({USERS[0]: "proxied", USERS[1]: "far"})
        await stack.start_workers(COPYTRADE_EGRESS="far", COPYTRADE_EGRESS_BIND=FAR)
        await stack.start_workers(
            COPYTRADE_EGRESS="proxied",
            COPYTRADE_EGRESS_PROXY=f"http://me:hush-hush@{proxy.address}",
            COPYTRADE_EXCHANGE_URL=f"https://127.0.0.1:{exchange.port}",
            COPYTRADE_MAX_TRIES="2",
            SSL_CERT_FILE=str(authority.path),
        )
        held = (await producer.enqueue_many([change(USERS[0], f"t{n}") for n in range(10)])).jobs
        await _open_breaker(producer, "proxied")
        other = await (await producer.enqueue(change(USERS[1]))).result()
        proxy.answer = ESTABLISHED
        results = await asyncio.gather(*(job.result() for job in held))
        arrivals = await stack.arrivals()

    assert {result.outcome for result in [other, *results]} == {Outcome.APPLIED}
    assert {result.tries for result in results} == {1}
    told = str([attempt.message for result in results for attempt in result.attempts])
    assert "rejects its user and password (407): correct COPYTRADE_EGRESS_PROXY" in told
    assert {arrival["remote"] for arrival in arrivals if arrival["user"] == USERS[0]} == {"127.0.0.1"}
    assert all(head.startswith(f"CONNECT 127.0.0.1:{exchange.port} ".encode()) for head in proxy.heads)
    log = await asyncio.to_thread(log_path.read_text)
    assert f"the proxy {proxy.address} rejects its user and password" in log
    assert "hush" not in log


async def test_a_worker_does_not_start_with_an_address_that_is_not_its_machine_s(stack: Stack, log_path: Path) -> None:
    """It says so in one line; 192.0.2.1 is of documentation only (RFC 5737)."""
    async with asyncio.timeout(WITHIN_S):
        (worker,) = await stack.start_workers(1, "--burst", COPYTRADE_EGRESS_BIND="192.0.2.1")
        status = await worker.wait()
        log = await asyncio.to_thread(log_path.read_text)

    assert status != 0
    assert "COPYTRADE_EGRESS_BIND: this machine cannot send from 192.0.2.1: " in log
