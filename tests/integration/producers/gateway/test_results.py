"""The results of a batch over HTTP: pages, exports and events."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from producers.gateway.api.results import accepted_type
from tests.support.gateway import SETTINGS, gateway_on
from tests.support.lanes import Lanes

USERS = [str(number) for number in range(1, 6)]
JOBS = [f"july..{user}" for user in USERS]


@pytest.fixture
async def ended(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """A batch of five changes of which two have ended."""
    await begin(gateway)
    await end(served_lanes, 2)


async def begin(gateway: httpx.AsyncClient) -> None:
    """Enqueue a batch."""
    content = {"batchId": "july", "traderId": "t1", "settings": json.loads(SETTINGS), "userIds": USERS}
    assert (await gateway.post("/v1/batches", json=content)).json()["accepted"] == len(USERS)


async def end(lanes: Lanes, count: int) -> None:
    """End some changes of the batch."""
    for claim in await lanes.claim(count):
        await lanes.done(claim)


async def events(gateway: httpx.AsyncClient, **headers: str) -> AsyncGenerator[tuple[str, str, Any], None]:
    """Read the events of the batch: name, ID, data."""
    fields: dict[str, str] = {}
    async with gateway.stream("GET", "/v1/batches/july/events", headers=headers) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line and name:
                fields[name] = value
            elif not line and "data" in fields:
                yield fields["event"], fields["id"], json.loads(fields["data"])
                fields = {}


@pytest.mark.usefixtures("ended")
async def test_pages_continue_at_a_cursor(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """Until the batch is complete."""
    first = (await gateway.get("/v1/batches/july/results", params={"limit": 1})).json()
    second = (await gateway.get("/v1/batches/july/results", params={"after": first["cursor"]})).json()
    await end(served_lanes, 3)
    last = (await gateway.get("/v1/batches/july/results", params={"after": second["cursor"]})).json()

    assert [len(page["results"]) for page in (first, second, last)] == [1, 1, 3]
    assert [page["complete"] for page in (first, second, last)] == [False, False, True]
    jobs = [result["jobId"] for page in (first, second, last) for result in page["results"]]
    assert sorted(jobs) == JOBS


@pytest.mark.usefixtures("ended")
async def test_all_results_are_exported_as_csv_and_as_lines(gateway: httpx.AsyncClient) -> None:
    """As the caller accepts."""
    rows = await gateway.get("/v1/batches/july/results", params={"limit": 1}, headers={"Accept": "text/csv"})
    lines = await gateway.get("/v1/batches/july/results", headers={"Accept": "application/x-ndjson"})

    assert rows.headers["Content-Type"] == "text/csv; charset=utf-8"
    found = list(csv.DictReader(io.StringIO(rows.text)))
    assert [row["outcome"] for row in found] == ["applied", "applied"]
    assert {json.loads(line)["jobId"] for line in lines.text.splitlines()} == {row["jobId"] for row in found}


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ([], "application/json"),
        (["*/*"], "application/json"),
        (["text/html, */*;q=0.8"], "application/json"),
        (["application/json, text/csv"], "application/json"),
        (["application/json, text/csv;q=0"], "application/json"),
        (["text/csv;q=0, */*"], "application/json"),
        (["application/json;q=0.5, text/csv; q=0.6"], "text/csv"),
        (["Text/CSV, */*"], "text/csv"),
        (["text/*"], "text/csv"),
        (["application/json;q=0.1", "application/x-ndjson"], "application/x-ndjson"),
        (["text/csv;charset=utf-8;q=inf"], "text/csv"),
        ([";,;q=0,/"], "application/json"),
    ],
)
def test_what_the_caller_accepts_decides_the_form_of_results(accept: list[str], wanted: str) -> None:
    """By RFC 9110, section 12.5.1; JSON, if it does not matter."""
    assert accepted_type(accept, "application/json", "text/csv", "application/x-ndjson") == wanted


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize("after", ["nonsense", "other/1-1"])
async def test_a_cursor_from_elsewhere_is_refused(gateway: httpx.AsyncClient, after: str) -> None:
    """Also that of an event stream."""
    page = await gateway.get("/v1/batches/july/results", params={"after": after})
    stream = await gateway.get("/v1/batches/july/events", headers={"Last-Event-ID": after})

    assert page.status_code == stream.status_code == 422
    assert (await gateway.get("/v1/batches/nobody/events")).status_code == 404


@pytest.mark.usefixtures("ended")
async def test_events_come_as_changes_end_and_stop_when_the_batch_is_complete(
    gateway: httpx.AsyncClient, served_lanes: Lanes
) -> None:
    """Those that ended before come first."""
    found = []
    async with aclosing(events(gateway)) as stream:
        async for name, _, data in stream:
            found.append((name, data))
            if len(found) in (2, 3):
                await end(served_lanes, 1 if len(found) == 2 else 2)

    assert [name for name, _ in found] == ["result"] * 5 + ["complete"]
    assert found[-1][1]["complete"] is True


@pytest.mark.usefixtures("ended")
async def test_a_reader_that_connects_again_misses_nothing_and_gets_nothing_twice(
    gateway: httpx.AsyncClient, served_lanes: Lanes
) -> None:
    """It says which event it saw last."""
    async with aclosing(events(gateway)) as stream:
        _, event_id, first = await anext(stream)
    seen = [first["jobId"]]
    await end(served_lanes, 3)
    async with aclosing(events(gateway, **{"Last-Event-ID": event_id})) as stream:
        async for name, _, data in stream:
            if name == "complete":
                break
            seen.append(data["jobId"])

    assert sorted(seen) == JOBS


async def test_many_readers_of_a_batch_get_all_of_it(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """They share one read of Redis, and each has its own place."""
    await begin(gateway)

    async def read() -> list[str]:
        async with aclosing(events(gateway)) as stream:
            return [data["jobId"] async for name, _, data in stream if name == "result"]

    readers = [asyncio.create_task(read()) for _ in range(10)]
    for _ in USERS:
        await end(served_lanes, 1)

    assert [sorted(found) for found in await asyncio.gather(*readers)] == [JOBS] * 10


async def test_more_event_streams_than_the_limit_are_refused(valkey_dsn: str, served_lanes: Lanes) -> None:
    """Until one of them ends."""
    async with gateway_on(valkey_dsn, gateway_streams=1) as gateway:
        await begin(gateway)
        async with gateway.stream("GET", "/v1/batches/july/events") as first:
            chunks = first.aiter_bytes()
            await anext(chunks)
            second = await gateway.get("/v1/batches/july/events")
        await end(served_lanes, len(USERS))
        after = await gateway.get("/v1/batches/july/events")

    assert (second.status_code, after.status_code) == (429, 200)
