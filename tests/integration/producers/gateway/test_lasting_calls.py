"""Calls that last: the limit of event streams holds, and nothing is read with an access key that was revoked."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator

import httpx
import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis

from ops.keys import KEYS
from producers.contract.access_keys import Scope, key_id_of
from producers.gateway import GatewaySettings
from producers.gateway.api import results
from producers.gateway.calls import known_keys
from producers.gateway.calls.problems import TooManyCalls
from producers.gateway.calls.service import Gateway
from producers.gateway.calls.streams import event_stream
from tests.support.gateway import NDJSON, SETTINGS, access_key, bearer, body, gateway_on, lines
from tests.support.lanes import Lanes

ROWS = {"traderId": "t1", "settings": SETTINGS}


@pytest.fixture
async def guarded(
    valkey_dsn: str, valkey: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key, of a gateway that asks Redis for the key each time."""
    monkeypatch.setattr(known_keys, "KEY_CACHE_S", 0.0)
    key = await access_key(valkey, Scope.READ, Scope.ENQUEUE)
    async with gateway_on(valkey_dsn, auth=True) as client:
        client.headers.update(bearer(key))
        yield client


async def revoke(valkey: ArqRedis) -> None:
    """Revoke all keys."""
    await valkey.delete(KEYS.gateway_keys)


async def end_all(lanes: Lanes) -> None:
    """End all changes."""
    for claim in await lanes.claim(10):
        await lanes.done(claim)


async def waiting(valkey: Redis) -> None:
    """Wait until a call waits for a result."""
    while not await valkey.pubsub_channels(f"{KEYS.job_done}*"):  # noqa: ASYNC110 - Redis is asked
        await asyncio.sleep(0.001)


async def fan_out(gateway: httpx.AsyncClient) -> str:
    """Enqueue a batch of three changes and return its path."""
    headers = {"Content-Type": NDJSON}
    answer = await gateway.post("/v1/batches", params=ROWS, content=lines("1", "2", "3"), headers=headers)
    assert answer.status_code == 202
    return answer.headers["Location"]


async def test_event_streams_that_are_opened_at_once_keep_to_the_limit(valkey_dsn: str) -> None:
    """Each counts from when it is let in."""
    async with gateway_on(valkey_dsn, gateway_streams=3) as gateway:
        path = await fan_out(gateway)

        call = gateway.build_request("GET", f"{path}/events")
        found = await asyncio.gather(*(gateway.send(call, stream=True) for _ in range(20)))
        for answer in found:
            await answer.aclose()

    assert sorted(answer.status_code for answer in found) == [200] * 3 + [429] * 17


async def test_an_event_stream_that_nobody_reads_is_not_counted_any_more() -> None:
    """A caller may be gone before the first event."""
    gateway = Gateway(GatewaySettings(gateway_streams=1))

    async def events() -> AsyncGenerator[bytes, None]:
        yield b": connected\n\n"

    stream = await event_stream(gateway, events())
    with pytest.raises(TooManyCalls):
        await event_stream(gateway, events())
    del stream
    gc.collect()
    while gateway.open_streams:  # noqa: ASYNC110 - the event loop closes a generator when it likes
        await asyncio.sleep(0)
    await event_stream(gateway, events())


async def test_an_event_stream_ends_with_its_access_key(
    guarded: httpx.AsyncClient, valkey: ArqRedis, served_lanes: Lanes
) -> None:
    """Before the next result."""
    path = await fan_out(guarded)
    async with guarded.stream("GET", f"{path}/events") as stream:
        chunks = stream.aiter_bytes()
        first = await anext(chunks)
        await revoke(valkey)
        await end_all(served_lanes)
        rest = [chunk async for chunk in chunks]

    assert (first, rest) == (b": connected\n\n", [])


async def test_an_export_breaks_off_with_its_access_key(
    guarded: httpx.AsyncClient, served_lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not look like a whole one."""
    path = await fan_out(guarded)
    await end_all(served_lanes)
    admitted = iter([True, False])

    async def is_still_admitted(_: object) -> bool:
        return next(admitted)

    monkeypatch.setattr(results, "PAGE_SIZE", 1)
    monkeypatch.setattr(results, "is_still_admitted", is_still_admitted)
    with pytest.raises(httpx.RemoteProtocolError):
        await guarded.get(f"{path}/results", params={"limit": 1}, headers={"Accept": "text/csv"})


async def test_waiting_for_a_result_ends_without_it_if_the_access_key_was_revoked(
    guarded: httpx.AsyncClient, valkey: ArqRedis, served_lanes: Lanes
) -> None:
    """The call was admitted before."""
    job = (await guarded.post("/v1/changes", json=body())).json()["jobId"]
    call = asyncio.create_task(guarded.get(f"/v1/changes/{job}", params={"wait": 15}))
    await waiting(valkey)
    await revoke(valkey)
    await end_all(served_lanes)

    assert (await call).status_code == 401


async def test_a_change_that_was_accepted_is_reported_without_its_result_if_the_access_key_was_revoked(
    guarded: httpx.AsyncClient, valkey: ArqRedis, served_lanes: Lanes
) -> None:
    """Its ID is what the caller may know."""
    call = asyncio.create_task(guarded.post("/v1/changes", json=body(), headers={"Prefer": "wait=15"}))
    await waiting(valkey)
    key_id = key_id_of(guarded.headers["Authorization"].removeprefix("Bearer "))
    await revoke(valkey)
    await end_all(served_lanes)
    answer = await call

    assert (answer.status_code, answer.json().get("result")) == (202, None)
    assert answer.json()["jobId"].startswith(f"{key_id}.")


async def test_a_preference_in_a_second_header_counts(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """A list may be in several lines (RFC 9110, section 5.3)."""
    preferences = [("Prefer", "respond-async"), ("Prefer", "wait=15")]
    call = asyncio.create_task(gateway.post("/v1/changes", json=body(), headers=preferences))
    await waiting(served_lanes.redis)
    await end_all(served_lanes)

    assert (await call).status_code == 200
