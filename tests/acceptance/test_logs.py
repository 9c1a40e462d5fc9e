"""The log of real workers: one line for each attempt in either format, and no secret, whatever the exchange replies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiohttp import web
from arq.connections import ArqRedis

from ops.serving import serving
from ops.stack import Stack, User, write_credentials
from producers import Producer
from tests.acceptance.conftest import WITHIN_S
from tests.support.changes import change
from tests.support.gateway import body
from tests.support.redis_dump import dump

PASSWORD = "redis-password-0123456789"
SECRETS = ("ACCESS-KEY", "ACCESS-SIGN", "ACCESS-PASSPHRASE")
FORGED = "\n2026-01-01 00:00:00,000 CRITICAL worker all is lost\r\x1b[2J"

APPLIED, REJECTED, UNSURE, PAGE, THROTTLED, KEY_AS_CODE = "1001", "1002", "1003", "1004", "1005", "1006"
USERS = (APPLIED, REJECTED, UNSURE, PAGE, THROTTLED, KEY_AS_CODE)


class EchoingExchange:
    """An exchange that quotes the request's headers in each reply.

    Attributes:
        url: where it is.
        seen: the secrets that it was sent.
        failed: users who got a reply that is no verdict.
    """

    def __init__(self) -> None:
        self.url = ""
        self.seen: set[str] = set()
        self.failed: set[str] = set()

    async def handle(self, request: web.Request) -> web.Response:
        """Answer as the request's user wants it."""
        if "ACCESS-KEY" not in request.headers:
            return web.json_response({"code": "00000", "data": {}})
        self.seen |= {request.headers[name] for name in SECRETS}
        user = request.headers["ACCESS-KEY"].removeprefix("key-")
        quoted = {name: request.headers[name] for name in SECRETS}
        echo = f"{FORGED} {json.dumps(quoted)} {quoted}"
        if user == APPLIED:
            return _reply(200, "00000", echo, "success")
        if user == REJECTED:
            return _reply(400, "49999", "x" * 190 + request.headers["ACCESS-PASSPHRASE"])
        if user not in self.failed:
            self.failed.add(user)
            if user == KEY_AS_CODE:
                return _reply(400, request.headers["ACCESS-PASSPHRASE"], echo)
            if user == PAGE:
                return web.Response(status=502, text=f"<html>{echo}</html>")
            return _reply(429 if user == THROTTLED else 500, "49999" if user == UNSURE else "429", echo)
        return _reply(400, "49999", echo)


def _reply(status: int, code: str, message: str, data: str | None = None) -> web.Response:
    return web.json_response(
        {"code": code, "msg": message, "requestTime": round(time.time() * 1000), "data": data}, status=status
    )


def json_lines(log_path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in log_path.read_bytes().splitlines()]


@pytest.fixture
async def exchange() -> AsyncIterator[EchoingExchange]:
    """A running exchange."""
    echoing = EchoingExchange()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echoing.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        echoing.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield echoing
    finally:
        await runner.cleanup()


@pytest.fixture
async def password_dsn(valkey: ArqRedis, valkey_dsn: str) -> AsyncIterator[str]:
    """The DSN of the same server for a user with a password."""
    await valkey.execute_command("ACL", "SETUSER", "logged", "on", f">{PASSWORD}", "~*", "&*", "+@all")  # type: ignore[no-untyped-call]
    yield valkey_dsn.replace("redis://", f"redis://logged:{PASSWORD}@")
    await valkey.execute_command("ACL", "DELUSER", "logged")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("form", ["console", "json"])
async def test_no_secret_is_logged_even_if_the_exchange_quotes_them_all(
    exchange: EchoingExchange, password_dsn: str, valkey: ArqRedis, tmp_path: Path, form: str
) -> None:
    """At the most verbose level, with asyncio's debug mode; no secret is in results or Redis either."""
    log_path = tmp_path / "workers.log"
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    debugging = {"COPYTRADE_LOG_LEVEL": "DEBUG", "COPYTRADE_LOG_FORMAT": form, "PYTHONASYNCIODEBUG": "1"}
    async with (
        asyncio.timeout(WITHIN_S),
        Stack(password_dsn, credentials, credentials, environ=debugging, log_path=log_path) as stack,
        Producer.connect(stack.redis_dsn) as producer,
    ):
        await stack.start_workers(1, COPYTRADE_EXCHANGE_URL=exchange.url)
        batch = await producer.fan_out(changes=[change(user) for user in USERS])
        results = [result async for result in batch.results()]
        stored = await dump(valkey)

    text = log_path.read_text(encoding="utf-8")
    told = "\n".join([text, stored, repr(results)])
    assert len(results) == len(USERS)
    assert len(exchange.seen) > len(USERS)
    assert "<secret>" in stored
    assert [
        secret for secret in [*exchange.seen, PASSWORD, *(f"secret-{user}" for user in USERS)] if secret in told
    ] == []
    assert "pass-100" not in told, "a passphrase was cut, and kept in part"
    assert not [line for line in text.split("\n") if line.startswith("2026-01-01") or "\x1b" in line]


async def test_json_logs_have_one_line_for_each_attempt(stack: Stack, log_path: Path) -> None:
    """With the time, and with what distinguishes one attempt from another."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        await stack.set_faults({"kind": "http_500", "first": 1, "user": "1001"})
        changes = [change("1001"), change("1002"), change("9999")]
        jobs = (await producer.enqueue_many(changes)).jobs
        (worker,) = await stack.start_workers(1, "--burst", COPYTRADE_LOG_FORMAT="json", COPYTRADE_LOG_LEVEL="DEBUG")
        assert await worker.wait() == 0

    lines = json_lines(log_path)
    assert all(line["ts"].endswith("Z") and line["level"] and line["logger"] and line["message"] for line in lines)
    attempts = [
        (line["event"], line.get("outcome"), line["user"], line["job"])
        for line in lines
        if line.get("event") in ("requeued", "finished")
    ]
    assert sorted(attempts, key=str) == sorted(
        [
            ("requeued", None, "1001", jobs[0].job_id),
            ("finished", "applied", "1001", jobs[0].job_id),
            ("finished", "applied", "1002", jobs[1].job_id),
            ("finished", "unauthorized", "9999", jobs[2].job_id),
        ],
        key=str,
    )


async def test_a_change_is_followed_by_its_id_from_the_gateway_to_its_outcome(
    stack: Stack, log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted by one process, sent twice by another, and cancelled by the first, in lines that name it in `job`."""
    monkeypatch.setenv("COPYTRADE_LOG_FORMAT", "json")
    monkeypatch.setenv("COPYTRADE_LOG_LEVEL", "DEBUG")
    async with (
        asyncio.timeout(WITHIN_S),
        serving(stack.redis_dsn, "--no-auth", log_path=log_path.with_name("gateway.log")) as served,
        httpx.AsyncClient(base_url=f"{served.url}/v1") as gateway,
    ):
        await stack.set_faults({"kind": "http_500", "first": 1, "user": "1001"})
        sent = await gateway.post("/changes", json=body(change("1001")), headers={"Idempotency-Key": "order-1"})
        dropped = await gateway.post("/changes", json=body(change("1002")))
        await gateway.delete(f"/changes/{dropped.json()['jobId']}")
        (worker,) = await stack.start_workers(1, "--burst")
        assert await worker.wait() == 0

    lines = json_lines(log_path.with_name("gateway.log")) + json_lines(log_path)
    followed = [line for line in lines if line.get("job") == sent.json()["jobId"]]
    assert [line["event"] for line in followed] == ["accepted", "sending", "requeued", "sending", "finished"]
    assert [line["verdict"] for line in followed if "verdict" in line] == ["transient", "success"]
    assert followed[-1]["outcome"] == "applied"
    assert [line["event"] for line in lines if line.get("job") == dropped.json()["jobId"]] == ["accepted", "cancelled"]
