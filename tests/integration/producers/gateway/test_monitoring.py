"""What a machine asks that operates the gateway: its metrics and its health."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from ops.keys import KEYS
from ops.redis_server import Valkey
from producers.contract.access_keys import Scope
from producers.gateway.api import monitoring
from tests.support.changes import change
from tests.support.gateway import access_key, bearer, body, gateway_on

REMOTE = {"Host": "gateway.example"}
"""How a scraper of another machine calls."""


async def scraped(gateway: httpx.AsyncClient, **headers: str) -> dict[str, float]:
    """Return the metrics, by name and labels as they are written."""
    answer = await gateway.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.fixture
def server(tmp_path: Path) -> Valkey:
    """A server that a test starts and stops."""
    return Valkey(tmp_path / "server", ("appendonly no", "maxmemory-policy noeviction", "maxmemory 100mb"))


async def test_the_queue_and_the_gateways_own_calls_are_measured(gateway: httpx.AsyncClient) -> None:
    """By the templates of their routes, whatever a path has in it; what leads to no route is one series."""
    for user in ("1", "2"):
        await gateway.post("/v1/changes", json=body(change(user)))
        await gateway.get(f"/v1/changes/{user}")
        await gateway.get(f"/no-such-path/{user}")
    await gateway.request("PROPFIND", "/livez")
    await gateway.post("/v1/pauses/pause", json={"everything": True})

    found = await scraped(gateway)

    route = "copytrade_gateway_request_duration_seconds_count method={} route={} status={}"
    assert found["copytrade_queue_up"] == 1
    assert found["copytrade_queue_users priority=interactive state=due"] == 2
    assert found["copytrade_queue_users priority=bulk state=due"] == 0
    assert found["copytrade_queue_everything_paused"] == 1
    assert found[route.format("POST", "/v1/changes", "2xx")] == 2
    assert found[route.format("GET", "/v1/changes/{job_id}", "4xx")] == 2
    assert found[route.format("GET", "unrouted", "4xx")] == 2
    assert found[route.format("other", "unrouted", "4xx")] == 1
    assert found["copytrade_gateway_streams"] == 0
    assert found["copytrade_redis_memory_used_bytes"] > 0
    assert found["process_resident_memory_bytes"] > 0


async def test_redis_is_asked_once_a_second_at_most(gateway: httpx.AsyncClient) -> None:
    """However many scrape: the second answer is as old as the first."""
    await scraped(gateway)
    await gateway.post("/v1/changes", json=body())

    assert (await scraped(gateway))["copytrade_queue_users priority=interactive state=due"] == 0


@pytest.mark.parametrize("is_frozen", [False, True], ids=["down", "standing still"])
async def test_a_scrape_without_redis_has_what_the_gateway_knows_itself(
    server: Valkey, monkeypatch: pytest.MonkeyPatch, is_frozen: bool
) -> None:
    """And says that Redis is away, also to a scraper of another machine whose access key was seen before."""
    monkeypatch.setattr("producers.gateway.calls.reading.TIMEOUT_S", 0.2)
    monkeypatch.setattr(monitoring, "TIMEOUT_S", 0.2)
    with server:
        async with gateway_on(server.dsn, auth=True) as gateway, Redis.from_url(server.dsn) as redis:
            reader, other = await access_key(redis, Scope.READ), await access_key(redis, Scope.READ)
            await scraped(gateway, **REMOTE, **bearer(reader))
            monkeypatch.setattr(monitoring, "MAX_AGE_S", 0)
            if is_frozen:
                server.freeze()
            else:
                server.stop()
            local = await scraped(gateway)
            known = await scraped(gateway, **REMOTE, **bearer(reader))
            unknown = await gateway.get("/metrics", headers=REMOTE | bearer(other))
            ready = await gateway.get("/readyz")
            alive = await gateway.get("/livez")
            if is_frozen:
                server.thaw()

    assert local["copytrade_queue_up"] == known["copytrade_queue_up"] == 0
    assert [name for name in known if name.startswith(("copytrade_queue_users", "copytrade_redis"))] == []
    assert known["copytrade_gateway_request_duration_seconds_count method=GET route=/metrics status=2xx"] == 2
    assert (unknown.status_code, unknown.json()["type"]) == (503, "urn:copytrade:problem:keys-unavailable")
    assert ready.status_code == 503
    assert ready.json()["reasons"]["redis"].startswith("Redis did not answer")
    assert alive.status_code == 200


async def test_other_machines_need_an_access_key_that_reads_and_is_bound_to_nobody(
    valkey_dsn: str, valkey: Redis
) -> None:
    """This machine needs none, unless it passes on a call of another one and says so."""
    async with gateway_on(valkey_dsn, auth=True) as gateway:
        refused = [
            REMOTE,
            {"X-Forwarded-For": "192.0.2.1"},
            REMOTE | bearer(await access_key(valkey, Scope.ENQUEUE)),
            REMOTE | bearer(await access_key(valkey, Scope.READ, user_ids=frozenset({"1"}))),
        ]
        statuses = [(await gateway.get("/metrics", headers=headers)).status_code for headers in refused]
        await scraped(gateway, **REMOTE, **bearer(await access_key(valkey, Scope.READ)))
        await scraped(gateway)

    assert statuses == [401, 401, 403, 403]


async def test_a_gateway_is_ready_while_it_can_use_the_queue(
    valkey_dsn: str, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an access key. What keeps it from that is named: another layout, an event loop that is late."""
    async with gateway_on(valkey_dsn, auth=True) as gateway:
        ready = await gateway.get("/readyz")
        monkeypatch.setattr(monitoring, "MAX_AGE_S", 0)
        monkeypatch.setattr(monitoring, "MAX_LAG_S", -1)
        await valkey.set(KEYS.layout, "99")
        refused = await gateway.get("/readyz")

    assert (ready.status_code, ready.json()) == (200, {"ready": True, "reasons": {}})
    assert refused.status_code == 503
    assert sorted(refused.json()["reasons"]) == ["event_loop", "layout"]


async def test_a_gateway_without_the_extra_says_how_to_get_it(
    gateway: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves everything else."""
    monkeypatch.setattr(monitoring, "exposition", None)

    answer = await gateway.get("/metrics")

    assert answer.status_code == 501
    assert "pip install '.[gateway,metrics]'" in answer.json()["detail"]
