"""The gateway and the command line on a queue with shards."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from producers import Producer, QueueUnavailable
from producers.client.access_keys import AccessKeys
from producers.contract.access_keys import Scope
from producers.gateway.calls import known_keys
from producers.transport.shards import Shards
from tests.support.changes import change
from tests.support.gateway import SETTINGS, access_key, bearer, body, gateway_on
from tests.support.sharded import SHARDS, ShardedLanes

USERS = [str(1000 + number) for number in range(20)]


@pytest.fixture
async def gateway(valkey_dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway on the queue."""
    async with gateway_on(valkey_dsn, shards=SHARDS) as client:
        yield client


async def begin(gateway: httpx.AsyncClient) -> None:
    """Enqueue a batch."""
    content = {"batchId": "july", "traderId": "t1", "settings": json.loads(SETTINGS), "userIds": USERS}
    assert (await gateway.post("/v1/batches", json=content)).json()["accepted"] == len(USERS)


async def read_events(gateway: httpx.AsyncClient, *, last: str = "") -> list[tuple[str, str]]:
    """Read the events of the batch: the ID of each, with its data."""
    found: list[tuple[str, str]] = []
    event_id = ""
    headers = {"Last-Event-ID": last} if last else {}
    async with gateway.stream("GET", "/v1/batches/july/events", headers=headers) as answer:
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                event_id = value
            elif name == "data":
                found.append((event_id, value))
    return found


async def test_the_events_of_a_batch_are_those_of_all_shards(gateway: httpx.AsyncClient, lanes: ShardedLanes) -> None:
    """They arrive while the reader waits, and go on at the ID of any."""
    await begin(gateway)
    reading = asyncio.create_task(read_events(gateway))
    ended = await lanes.drain()
    async with asyncio.timeout(30):
        events = await reading
    again = await read_events(gateway, last=events[4][0])

    results: list[dict[str, Any]] = [json.loads(data) for _, data in events if "jobId" in data]
    assert sorted(result["jobId"] for result in results) == sorted(ended)
    assert len([data for _, data in again if "jobId" in data]) == len(results) - 5


async def test_results_are_paged_and_exported_over_all_shards(gateway: httpx.AsyncClient, lanes: ShardedLanes) -> None:
    """A page ends at a cursor that the next one starts from."""
    await begin(gateway)
    ended = await lanes.drain()
    found, cursor, complete = list[str](), None, False
    while not complete:
        parameters = {"limit": "6"} | ({"after": cursor} if cursor else {})
        page = (await gateway.get("/v1/batches/july/results", params=parameters)).json()
        found += [result["jobId"] for result in page["results"]]
        cursor, complete = page["cursor"], page["complete"]
    exported = await gateway.get("/v1/batches/july/results", headers={"Accept": "text/csv"})

    assert sorted(found) == sorted(ended)
    assert len(exported.text.splitlines()) == len(ended) + 1


async def test_a_bulk_call_is_refused_whole_if_one_lane_is_full_in_its_shard(
    valkey_dsn: str, lanes: ShardedLanes
) -> None:
    """The refusal names the place of its change."""
    async with gateway_on(valkey_dsn, shards=SHARDS, lane_limit=1) as gateway:
        first = await gateway.post("/v1/changes:bulk", json=[body(change(USERS[7]))])
        second = await gateway.post(
            "/v1/changes:bulk", params={"allOrNothing": "true"}, json=[body(change(user)) for user in USERS]
        )
    refused = second.json()

    assert first.json()["accepted"] == 1
    assert [item["index"] for item in refused["errors"]] == [7]
    assert len(await lanes.drain()) == 1


async def test_health_and_metrics_are_those_of_all_shards(gateway: httpx.AsyncClient, producer: Producer) -> None:
    """Users are counted in every shard."""
    await producer.enqueue_many([change(user) for user in USERS])
    metrics = (await gateway.get("/metrics")).text
    ready = await gateway.get("/readyz")

    assert f'copytrade_queue_users{{priority="interactive",state="due"}} {len(USERS)}' in metrics.replace(".0", "")
    assert ready.status_code == httpx.codes.OK


async def test_a_gateway_serves_a_key_that_it_knows_while_the_home_is_away(
    valkey_dsn: str, clients: Shards[Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shards of its users are there. A key that it has not seen before is 503."""

    async def read_key(*_: object) -> Any:
        raise QueueUnavailable("reading an access key") from RedisConnectionError("the home is away")

    known, other = [bearer(await access_key(clients.home, Scope.ENQUEUE)) for _ in range(2)]
    async with gateway_on(valkey_dsn, auth=True, shards=SHARDS) as gateway:
        first = await gateway.post("/v1/changes", json=body(change(USERS[0])), headers=known)
        monkeypatch.setattr(known_keys, "KEY_CACHE_S", 0.0)
        monkeypatch.setattr(AccessKeys, "get", read_key)
        second = await gateway.post("/v1/changes", json=body(change(USERS[1])), headers=known)
        refused = await gateway.post("/v1/changes", json=body(change(USERS[1])), headers=other)

    assert (first.status_code, second.status_code) == (202, 202)
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:copytrade:problem:keys-unavailable")


async def test_the_command_line_takes_the_number_of_shards_from_its_variable(
    producer: Producer, valkey_dsn: str
) -> None:
    """Without it, the queue refuses the program."""
    await producer.enqueue(change(USERS[0]), job_id="j1")

    async def run(**variables: str) -> tuple[int | None, str]:
        environ = {**os.environ, "COPYTRADE_REDIS_DSN": valkey_dsn, **variables}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "producers.cli", "status", "j1", "--json"),
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
        return process.returncode, output.decode()

    code, output = await run(COPYTRADE_SHARDS=str(SHARDS))
    other_code, other_output = await run()

    assert (code, json.loads(output)["state"]) == (0, "queued")
    assert other_code != 0
    assert f"COPYTRADE_SHARDS={SHARDS}" in other_output
