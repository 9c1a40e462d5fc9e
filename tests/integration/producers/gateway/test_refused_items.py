"""Items that are refused: what the call answers, and what tells a full lane from a conflict and a broken rule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from tests.support.changes import change
from tests.support.gateway import CSV, NDJSON, SETTINGS, body, gateway_on

PREFIX = "urn:copytrade:problem:"
FULL, FREE = body(change("1")), body(change("2"))


@pytest.fixture
async def crowded(valkey_dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway whose lanes hold one change; that of user 1 is full."""
    async with gateway_on(valkey_dsn, lane_limit=1) as client:
        assert (await client.post("/v1/changes", json=FULL)).status_code == 202
        yield client


async def bulk(gateway: httpx.AsyncClient, *changes: Any, key: str = "many", **params: str) -> httpx.Response:
    """Send many changes."""
    return await gateway.post("/v1/changes:bulk", json=list(changes), params=params, headers={"Idempotency-Key": key})


def batch(*user_ids: str, **fields: Any) -> dict[str, Any]:
    """Return a fan-out as JSON."""
    return {"traderId": "t1", "settings": body()["settings"], "userIds": [*user_ids], "batchId": "july", **fields}


async def test_nothing_accepted_for_a_full_lane_asks_to_come_again(crowded: httpx.AsyncClient) -> None:
    """A batch as well: it is there, empty, and takes the same call later."""
    answers = [await bulk(crowded, FULL), await crowded.post("/v1/batches", json=batch("1"))]

    assert [answer.status_code for answer in answers] == [429, 429]
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
    assert [answer.json()["errors"][0]["type"] for answer in answers] == [PREFIX + "lane-full"] * 2
    await crowded.post("/v1/users/1/cancel")
    assert (await crowded.post("/v1/batches", json=batch("1"))).json()["accepted"] == 1


async def test_nothing_accepted_for_a_conflict_is_an_error(gateway: httpx.AsyncClient) -> None:
    """The same Idempotency-Key with other content never will be."""
    await bulk(gateway, FREE)
    answer = await bulk(gateway, body(change("2", value="2")))

    assert answer.status_code == 422
    assert [row["type"] for row in answer.json()["errors"]] == [PREFIX + "change-conflict"]


async def test_each_item_says_what_it_was_refused_for_and_each_job_its_place(crowded: httpx.AsyncClient) -> None:
    """A program tells what it can send again from what it must correct."""
    found = (await bulk(crowded, FULL, {**FREE, "traderId": ""}, FREE)).json()

    assert [(row["index"], row["type"]) for row in found["refused"]] == [
        (0, PREFIX + "lane-full"),
        (1, PREFIX + "invalid-change"),
    ]
    assert [(job["index"], job["jobId"]) for job in found["jobs"]] == [(2, "local.many,2")]


async def test_rows_name_their_line_and_the_kind_of_refusal(crowded: httpx.AsyncClient) -> None:
    """Also if all must be accepted."""
    params = {"traderId": "t1", "settings": SETTINGS, "allOrNothing": "true"}
    answer = await crowded.post("/v1/batches", params=params, content="user_id\n2\n1\n", headers={"Content-Type": CSV})

    assert answer.status_code == 429
    assert [(row["line"], row["type"]) for row in answer.json()["errors"]] == [(3, PREFIX + "lane-full")]
    assert (await crowded.get("/v1/batches")).json() == []


@pytest.mark.parametrize("path", ["/v1/changes", "/v1/changes:bulk", "/v1/batches"])
@pytest.mark.parametrize("key", ["a/b", "a,b", "..a", ".a", "a.", "a~~b", "a b", "", '""', "a" * 120])
async def test_an_idempotency_key_that_no_id_can_have_is_refused(
    gateway: httpx.AsyncClient, path: str, key: str
) -> None:
    """Under its own name: what it names must be found at its Location."""
    content: Any = {"/v1/changes": body(), "/v1/changes:bulk": [body()]}.get(path) or {"changes": [body()]}
    answer = await gateway.post(path, json=content, headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")


async def test_a_batch_id_with_a_slash_is_refused(gateway: httpx.AsyncClient) -> None:
    """It could not be in a path."""
    answer = await gateway.post("/v1/batches", json=batch("1", batchId="a/b"))

    assert (answer.status_code, answer.json()["field"]) == (422, "batchId")


async def test_all_or_nothing_looks_for_full_lanes_and_can_be_repeated(crowded: httpx.AsyncClient) -> None:
    """What the same call enqueued before does not fill its own lanes."""
    refused = await bulk(crowded, FREE, FULL, allOrNothing="true")
    untouched = (await crowded.get("/v1/users/2")).json()["lanes"]
    answers = [await bulk(crowded, FREE, key="other", allOrNothing="true") for _ in range(2)]

    assert (refused.status_code, refused.json()["errors"][0]["index"]) == (429, 1)
    assert untouched == []
    assert [answer.json()["jobs"][0]["alreadyThere"] for answer in answers] == [False, True]


async def test_lines_that_were_joined_get_a_hint(gateway: httpx.AsyncClient) -> None:
    """As curl's --data sends a file."""
    content = msgspec.json.encode(FREE) * 2
    answer = await gateway.post("/v1/changes:bulk", content=content, headers={"Content-Type": NDJSON})

    assert (answer.status_code, "--data-binary" in answer.text) == (422, True)
