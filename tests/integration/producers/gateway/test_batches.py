"""Batches over HTTP: from JSON and from rows, their progress, cancelling and retrying them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from producers import Outcome
from tests.support.changes import change
from tests.support.gateway import CSV, NDJSON, SETTINGS, body, gateway_on, lines
from tests.support.lanes import Lanes

TEMPLATE = {"traderId": "t1", "settings": SETTINGS}
"""The parameters of rows that have only users."""


def batch(**changed: Any) -> dict[str, Any]:
    """Return a fan-out as JSON."""
    return {"traderId": "t1", "settings": body()["settings"], "userIds": ["1", "2", "3"], **changed}


async def post_rows(gateway: httpx.AsyncClient, content: bytes | str, media_type: str, **params: Any) -> httpx.Response:
    """Send rows."""
    return await gateway.post("/v1/batches", params=params, content=content, headers={"Content-Type": media_type})


async def test_a_template_goes_to_many_users(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """A user that cannot be one is listed; the same batch again adds nothing."""
    content = batch(batchId="july", userIds=["1", "2", "a b"])
    accepted = await gateway.post("/v1/batches", json=content)
    again = await gateway.post("/v1/batches", json=content)
    progress = await gateway.get(accepted.headers["Location"])

    assert accepted.status_code == 202
    report = accepted.json()
    assert (report["batchId"], report["given"], report["accepted"]) == ("july", 3, 2)
    assert [(row["index"], row["field"]) for row in report["refused"]] == [(2, "userId")]
    assert (again.json()["accepted"], again.json()["alreadyThere"]) == (0, 2)
    assert (progress.json()["total"], progress.json()["sealed"]) == (2, True)
    assert {claim.job_id for claim in await served_lanes.claim()} == {"july..1", "july..2"}


async def test_changes_of_their_own_are_a_batch_too(gateway: httpx.AsyncClient) -> None:
    """An item that is no change is listed."""
    content = {"changes": [body(change("1")), {"userId": "2"}]}
    report = (await gateway.post("/v1/batches", json=content, headers={"Idempotency-Key": "own"})).json()

    assert (report["batchId"], report["accepted"], report["refused"][0]["index"]) == ("local.own", 1, 1)


async def test_a_batch_of_other_content_is_a_conflict(gateway: httpx.AsyncClient) -> None:
    """Nothing is added."""
    await gateway.post("/v1/batches", json=batch(batchId="july"))
    answer = await gateway.post("/v1/batches", json=batch(batchId="july", traderId="t2"))

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:copytrade:problem:batch-conflict")


@pytest.mark.parametrize(
    ("content", "media_type"),
    [("user_id\n1\n2\n", CSV), (lines("1", {"userId": "2"}), NDJSON)],
)
async def test_rows_of_users_get_the_template_of_the_parameters(
    gateway: httpx.AsyncClient, served_lanes: Lanes, content: bytes | str, media_type: str
) -> None:
    """It is stored once, as if it were JSON."""
    answer = await post_rows(gateway, content, media_type, batchId="july", **TEMPLATE)

    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
    assert {claim.job_id for claim in await served_lanes.claim()} == {"july..1", "july..2"}


async def test_rows_may_have_settings_of_their_own(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """A column replaces the field of the template; an invalid line is listed, and the others are enqueued."""
    content = "user_id,trace_value\n1,7\n2,much\n"
    report = (await post_rows(gateway, content, CSV, **TEMPLATE)).json()

    assert (report["given"], report["accepted"]) == (2, 1)
    assert [(row["line"], row["field"]) for row in report["refused"]] == [(3, "settings[0].traceValue")]
    assert len(await served_lanes.claim()) == 1


@pytest.mark.parametrize(
    ("content", "params", "status"),
    [
        ("user_id\n1\n", {"dryRun": "true"}, 200),
        ("user_id,trace_value\n1,7\n2,x\n", {"allOrNothing": "true"}, 422),
        ("user_id\na b\n", {}, 422),
        ("name\n1\n", {}, 422),
        ("", {}, 422),
        ("user_id\n" + "1\n2\n3\n4\n5\n6\n", {}, 413),
        ("user_id\n" + "1" * 3000, {}, 413),
        ("user_id\n1\n", {"settings": "["}, 422),
        ("user_id\n1\n", {"batchId": "a b"}, 422),
    ],
)
async def test_rows_that_are_refused_leave_nothing(
    valkey_dsn: str, content: str, params: dict[str, str], status: int
) -> None:
    """Nor does a dry run."""
    async with gateway_on(valkey_dsn, gateway_rows=5, gateway_rows_bytes=2000) as gateway:
        answer = await post_rows(gateway, content, CSV, **TEMPLATE | params)

        assert answer.status_code == status
        assert (await gateway.get("/v1/batches")).json() == []


@pytest.mark.parametrize(
    "content",
    [
        {"traderId": "t1"},
        {"settings": []},
        {"surprise": 1},
        {"userIds": "1"},
        {"changes": [], "traderId": "t1"},
        {**batch(), "allOrNothing": True, "userIds": [""]},
    ],
)
async def test_a_batch_that_is_none_is_a_problem(gateway: httpx.AsyncClient, content: dict[str, Any]) -> None:
    """Nothing is written."""
    answer = await gateway.post("/v1/batches", json=content)

    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert (await gateway.get("/v1/batches")).json() == []


async def test_a_batch_is_cancelled(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """But for what is being sent."""
    await gateway.post("/v1/batches", json=batch(batchId="july"))
    await served_lanes.claim(1)

    answer = await gateway.post("/v1/batches/july/cancel")

    assert answer.json() == {"cancelled": 2, "inFlight": 1}
    assert (await gateway.post("/v1/batches/nobody/cancel")).status_code == 404


async def test_the_failed_changes_of_a_batch_are_enqueued_again(
    gateway: httpx.AsyncClient, served_lanes: Lanes
) -> None:
    """As a batch of their own; without any there is nothing to retry."""
    await gateway.post("/v1/batches", json=batch(batchId="july"))
    none = await gateway.post("/v1/batches/july/retry-failed")
    for claim in await served_lanes.claim():
        await served_lanes.done(claim, Outcome.REJECTED)

    again = {"Idempotency-Key": "again"}
    answer = await gateway.post("/v1/batches/july/retry-failed", headers=again)
    repeated = await gateway.post("/v1/batches/july/retry-failed", headers=again)

    assert none.status_code == 404
    assert (answer.status_code, answer.json()["accepted"]) == (202, 3)
    assert (await gateway.get(answer.headers["Location"])).json()["total"] == 3
    assert (repeated.status_code, repeated.headers["Location"]) == (202, "/v1/batches/local.again")
    assert (repeated.json()["accepted"], repeated.json()["alreadyThere"]) == (0, 3)


@pytest.mark.parametrize("name", ["a#2", "a%41", "a?wait=0", "a&;=+"])
async def test_the_location_of_a_change_leads_to_it(gateway: httpx.AsyncClient, name: str) -> None:
    """Whatever its Idempotency-Key has in it."""
    await gateway.post("/v1/changes", json=body(change("1")), headers={"Idempotency-Key": "a"})
    answer = await gateway.post("/v1/changes", json=body(change("2")), headers={"Idempotency-Key": name})
    cancelled = await gateway.delete(answer.headers["Location"])

    assert cancelled.json() == {"jobId": f"local.{name}", "cancellation": "cancelled"}
