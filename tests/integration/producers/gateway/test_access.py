"""Access keys of the gateway: scopes, bounds, rates, and what is open without one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers.contract.access_keys import Scope, key_id_of
from producers.gateway import GatewaySettings
from producers.gateway.calls import known_keys, service
from producers.gateway.calls.problems import NotAuthenticated
from producers.gateway.calls.service import Gateway
from tests.support.changes import change
from tests.support.gateway import SETTINGS, access_key, bearer, body, gateway_on


@pytest.fixture
async def guarded(valkey_dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that asks for access keys."""
    async with gateway_on(valkey_dsn, auth=True) as client:
        yield client


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({}, "needs an access key"),
        ({"Authorization": "Basic YTpi"}, "needs an access key"),
        ({"Authorization": "Bearer"}, "is no access key"),
        ({"Authorization": "Bearer ct_nobody99_" + "a" * 43}, "revoked"),
        ({"Authorization": "Bearer ct_" + "x" * 5000}, "is no access key"),
    ],
)
async def test_a_call_without_a_valid_key_is_refused(
    guarded: httpx.AsyncClient, header: dict[str, str], says: str
) -> None:
    """Before its body is read. Only the liveness of the process is open."""
    answer = await guarded.post("/v1/changes", content=b"x" * 100_000, headers=header)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json()["type"] == "urn:copytrade:problem:not-authenticated"
    assert says in answer.json()["detail"]
    assert (await guarded.get("/livez")).status_code == 200


async def test_the_secret_of_a_key_must_match(guarded: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """Its ID is public."""
    key = await access_key(valkey, Scope.READ)
    forged = key[:12] + "a" * 43

    assert key_id_of(forged) == key_id_of(key)
    assert (await guarded.get("/v1/batches", headers=bearer(key))).status_code == 200
    assert (await guarded.get("/v1/batches", headers=bearer(forged))).status_code == 401


async def test_redis_holds_only_a_hash_of_a_key(valkey: ArqRedis) -> None:
    """Nor does the key's own text show its secret."""
    key = await access_key(valkey, Scope.READ)
    stored = await valkey.hget(KEYS.gateway_keys, key_id_of(key) or "")  # type: ignore[misc]

    assert key.split("_", 2)[2].encode() not in stored


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [
        (Scope.READ, [200, 403, 403]),
        (Scope.ENQUEUE, [403, 202, 403]),
        (Scope.OPERATE, [403, 403, 200]),
    ],
)
async def test_a_key_permits_what_its_scope_says(
    guarded: httpx.AsyncClient, valkey: ArqRedis, scope: Scope, statuses: list[int]
) -> None:
    """And no more."""
    key = bearer(await access_key(valkey, scope))

    answers = [
        await guarded.get("/v1/overview", headers=key),
        await guarded.post("/v1/changes", json=body(), headers=key),
        await guarded.post("/v1/users/1/pause", headers=key),
    ]

    assert [answer.status_code for answer in answers] == statuses


async def test_a_revoked_key_is_refused(
    guarded: httpx.AsyncClient, valkey: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as the gateway asks for it again."""
    monkeypatch.setattr(known_keys, "KEY_CACHE_S", 0.0)
    key = await access_key(valkey, Scope.READ)
    before = await guarded.get("/v1/batches", headers=bearer(key))
    await valkey.hdel(KEYS.gateway_keys, key_id_of(key) or "")  # type: ignore[misc]

    assert before.status_code == 200
    assert (await guarded.get("/v1/batches", headers=bearer(key))).status_code == 401


async def test_the_ids_of_a_key_begin_with_its_own(guarded: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """So the same Idempotency-Key of two keys names two changes."""
    answers = []
    for number in range(2):
        key = await access_key(valkey, Scope.ENQUEUE)
        headers = bearer(key) | {"Idempotency-Key": "k"}
        answer = await guarded.post("/v1/changes", json=body(change(value=str(number + 1))), headers=headers)
        answers.append((answer.status_code, answer.json()["jobId"] == f"{key_id_of(key)}.k"))

    assert answers == [(202, True)] * 2


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("POST", "/v1/changes", body(change("2"))),
        ("POST", "/v1/changes", body(change(trader="t2"))),
        ("POST", "/v1/batches", {"traderId": "t1", "settings": body()["settings"], "userIds": ["1", "2"]}),
        ("POST", "/v1/batches", {"changes": [body(change("2"))]}),
        ("GET", "/v1/changes/other.job", None),
        ("DELETE", "/v1/changes/other.job", None),
        ("GET", "/v1/batches/other", None),
        ("GET", "/v1/batches/other/results", None),
        ("GET", "/v1/batches/other/events", None),
        ("POST", "/v1/batches/other/cancel", None),
        ("GET", "/v1/overview", None),
        ("GET", "/v1/pauses", None),
        ("GET", "/v1/dead-letters", None),
        ("POST", "/v1/pauses/pause", {"everything": True}),
        ("POST", "/v1/dead-letters/drop", {"everything": True}),
        ("POST", "/v1/users/1/pause", None),
    ],
)
async def test_a_bound_key_concerns_its_users_and_traders_only(
    guarded: httpx.AsyncClient, valkey: ArqRedis, method: str, path: str, content: Any
) -> None:
    """It reads what it enqueued itself."""
    key = bearer(await access_key(valkey, *Scope, user_ids=frozenset({"1"}), trader_ids=frozenset({"t1"})))
    own = await guarded.post("/v1/changes", json=body(change("1")), headers=key)

    refused = await guarded.request(method, path, json=content, headers=key)

    assert (await guarded.get(own.headers["Location"], headers=key)).status_code == 200
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:copytrade:problem:not-permitted")


async def test_a_key_of_a_trader_is_told_why_it_may_not_see_a_user(
    guarded: httpx.AsyncClient, valkey: ArqRedis
) -> None:
    """Even if it is bound to that user too."""
    key = bearer(await access_key(valkey, *Scope, user_ids=frozenset({"1"}), trader_ids=frozenset({"t1"})))
    answer = await guarded.get("/v1/users/1", headers=key)

    assert (answer.status_code, "is bound to traders" in answer.json()["detail"]) == (403, True)


async def test_rows_that_a_bound_key_is_not_for_are_refused(guarded: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """The others are enqueued."""
    key = bearer(await access_key(valkey, Scope.ENQUEUE, user_ids=frozenset({"1"})))
    many = await guarded.post("/v1/changes:bulk", json=[body(change("1")), body(change("2"))], headers=key)
    rows = await guarded.post(
        "/v1/batches",
        params={"traderId": "t2", "settings": SETTINGS},
        content="user_id\n1\n2\n",
        headers=key | {"Content-Type": "text/csv"},
    )

    assert (many.json()["accepted"], many.json()["refused"][0]["index"]) == (1, 1)
    assert (rows.json()["accepted"], rows.json()["refused"][0]["line"]) == (1, 3)


async def test_a_keys_own_rate_holds_over_all_processes(valkey_dsn: str, valkey: ArqRedis) -> None:
    """Two gateways count together; the answer says when to come again."""
    key = bearer(await access_key(valkey, Scope.READ, rate_per_s=3.0))
    statuses = []
    async with gateway_on(valkey_dsn, auth=True) as first, gateway_on(valkey_dsn, auth=True) as second:
        for _ in range(3):
            for gateway in (first, second):
                answer = await gateway.get("/v1/batches", headers=key)
                statuses.append(answer.status_code)

    assert statuses[:3] == [200] * 3
    assert 429 in statuses
    assert int(answer.headers.get("Retry-After", 1)) >= 1


async def test_a_change_by_an_operator_leaves_an_audit_line(
    guarded: httpx.AsyncClient, valkey: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """Who, what, how many; never the key."""
    caplog.set_level(logging.INFO)
    key = await access_key(valkey, Scope.OPERATE, Scope.ENQUEUE)
    await guarded.post("/v1/changes", json=body(change("7")), headers=bearer(key))
    await guarded.post("/v1/users/7/cancel", headers=bearer(key))

    assert f"key {key_id_of(key)} (a test's): cancel user 7, 1" in caplog.messages
    assert key not in caplog.text


async def test_a_host_that_is_not_served_is_refused(valkey_dsn: str) -> None:
    """If the setting names those that are."""
    async with gateway_on(valkey_dsn, gateway_hosts="queue.example, other.example") as gateway:
        served = await gateway.get("/livez", headers={"Host": "queue.example"})
        refused = await gateway.get("/livez", headers={"Host": "evil.example"})

    assert (served.status_code, refused.status_code) == (200, 400)


async def test_without_keys_only_calls_of_this_machine_are_served() -> None:
    """Whatever server runs the application."""
    gateway = Gateway(GatewaySettings(gateway_auth=False))

    for client in ("127.0.0.1", "::1", None):
        assert await gateway.authenticate(None, client) is service.LOCAL
    with pytest.raises(NotAuthenticated, match="its own machine"):
        await gateway.authenticate(None, "192.0.2.7")


async def test_no_other_origin_may_read_answers(gateway: httpx.AsyncClient) -> None:
    """A browser asks first, and is not permitted."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = await gateway.options("/v1/changes", headers=headers)

    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
