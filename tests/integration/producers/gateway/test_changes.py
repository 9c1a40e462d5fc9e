"""Single changes over HTTP, and many at once."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from producers import Outcome
from producers.contract.access_keys import new_key
from tests.support.changes import change
from tests.support.gateway import NDJSON, bearer, body, gateway_on, lines
from tests.support.lanes import Lanes


async def test_a_change_is_accepted_and_found_at_its_location(gateway: httpx.AsyncClient) -> None:
    """The answer names where its status is."""
    accepted = await gateway.post("/v1/changes", json=body())
    found = await gateway.get(accepted.headers["Location"])

    assert accepted.status_code == 202
    assert accepted.json()["alreadyThere"] is False
    assert (found.status_code, found.json()["state"], found.json()["position"]) == (200, "queued", 0)
    assert found.json()["wait"]["reason"] == "no_worker"


@pytest.mark.parametrize("header", ["order-7", '"order-7"'])
async def test_the_same_idempotency_key_adds_nothing(gateway: httpx.AsyncClient, header: str) -> None:
    """With or without quotes; with other content it is an error."""
    first = await gateway.post("/v1/changes", json=body(), headers={"Idempotency-Key": "order-7"})
    again = await gateway.post("/v1/changes", json=body(), headers={"Idempotency-Key": header})
    other = await gateway.post("/v1/changes", json=body(change(value="2")), headers={"Idempotency-Key": header})

    assert first.json()["jobId"] == again.json()["jobId"] == "local.order-7"
    assert (again.status_code, again.json()["alreadyThere"]) == (202, True)
    assert (other.status_code, other.json()["type"]) == (422, "urn:copytrade:problem:change-conflict")


async def test_a_caller_that_prefers_to_wait_gets_the_result(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """It comes as soon as the change has ended."""
    waiting = asyncio.create_task(gateway.post("/v1/changes", json=body(), headers={"Prefer": "wait=15"}))
    while not (claims := await served_lanes.claim()):  # noqa: ASYNC110 - the gateway has no event for it
        await asyncio.sleep(0.01)
    await served_lanes.done(claims[0])

    answer = await waiting

    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=15"
    assert answer.json()["result"]["outcome"] == "applied"


async def test_a_wait_ends_without_a_result(gateway: httpx.AsyncClient) -> None:
    """The change stays queued, for a new call as for a later look."""
    answer = await gateway.post("/v1/changes", json=body(), headers={"Prefer": "respond-async, wait=0"})
    looked = await gateway.get(answer.headers["Location"], params={"wait": "0.05"})

    assert (answer.status_code, answer.json()["result"]) == (202, None)
    assert looked.json()["state"] == "queued"


async def test_an_ended_change_has_its_result(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """In the contract's own JSON."""
    accepted = await gateway.post("/v1/changes", json=body())
    await served_lanes.done(await served_lanes.claim_one(), Outcome.REJECTED, code="40034")

    found = (await gateway.get(accepted.headers["Location"], params={"wait": 5})).json()

    assert found["state"] == "done"
    assert (found["result"]["outcome"], found["result"]["code"]) == ("rejected", "40034")


async def test_a_change_that_waits_has_its_attempts_so_far(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """What it sets, and its deadline."""
    accepted = await gateway.post("/v1/changes", json=body(), params={"ttlS": 60})
    await served_lanes.attempt(await served_lanes.claim_one(), "transient", code="40015")

    found = (await gateway.get(accepted.headers["Location"])).json()

    assert (found["state"], found["change"], found["priority"]) == ("queued", body(), "interactive")
    assert [(each["verdict"], each["code"]) for each in found["attempts"]] == [("transient", "40015")]
    assert found["expiresAtMs"] == found["enqueuedAtMs"] + 60_000


async def test_a_change_is_cancelled_until_it_is_sent(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """One that is being sent is not, and one that never was is not found."""
    first, second = [await gateway.post("/v1/changes", json=body()) for _ in range(2)]
    await served_lanes.claim_one()

    answers = [await gateway.delete(each.headers["Location"]) for each in (first, second)]

    assert [answer.json()["cancellation"] for answer in answers] == ["in_flight", "cancelled"]
    assert (await gateway.delete("/v1/changes/nobody")).status_code == 404


@pytest.mark.parametrize(
    ("query", "content", "media_type", "status", "field"),
    [
        ("", b"{", "application/json", 422, "body"),
        ("", b"[]", "application/json", 422, "change"),
        ("", b'{"userId":"\xff"}', "application/json", 422, "body"),
        ("", lines(body(userId="a b")), "application/json", 422, "userId"),
        ("", lines(body(settings=[])), "application/json", 422, "settings"),
        ("", lines(body(surprise=1)), "application/json", 422, "surprise"),
        ("?ttlS=-1", lines(body()), "application/json", 422, "ttlS"),
        ("?ttlS=soon", lines(body()), "application/json", 400, "ttlS"),
        ("?priority=high", lines(body()), "application/json", 400, "priority"),
        ("", lines(body()), "text/plain", 415, None),
        ("", b"x" * 5000, "application/json", 413, None),
    ],
)
async def test_bad_input_is_a_problem_that_names_the_field(
    valkey_dsn: str, query: str, content: bytes, media_type: str, status: int, field: str | None
) -> None:
    """With the rule and the value; nothing is written."""
    async with gateway_on(valkey_dsn, gateway_body_bytes=4000) as gateway:
        answer = await gateway.post("/v1/changes" + query, content=content, headers={"Content-Type": media_type})

        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
        problem = answer.json()
        assert problem["status"] == status
        assert problem.get("field") == field
        assert (await gateway.get("/v1/overview")).json()["interactive"]["users"] == 0


async def test_a_full_lane_asks_to_come_again_later(valkey_dsn: str) -> None:
    """As too many requests do."""
    async with gateway_on(valkey_dsn, lane_limit=1) as gateway:
        await gateway.post("/v1/changes", json=body())
        answer = await gateway.post("/v1/changes", json=body())

    assert (answer.status_code, answer.json()["type"]) == (429, "urn:copytrade:problem:lane-full")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_without_redis_the_queue_is_unavailable() -> None:
    """The process itself lives."""
    async with gateway_on("redis://127.0.0.1:1/0") as gateway:
        answer = await gateway.post("/v1/changes", json=body())
        alive = await gateway.get("/livez")

    assert (answer.status_code, answer.json()["type"]) == (503, "urn:copytrade:problem:queue-unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert alive.status_code == 200
    assert not any(word in answer.text for word in ("127.0.0.1", "COPYTRADE", "job_id"))


async def test_without_redis_an_access_key_cannot_be_checked(caplog: pytest.LogCaptureFixture) -> None:
    """A stranger learns no more; the log has the cause."""
    key = new_key().text
    async with gateway_on("redis://127.0.0.1:1/0", auth=True) as gateway:
        answer = await gateway.get("/v1/overview", headers=bearer(key))

    assert (answer.status_code, answer.json()["type"]) == (503, "urn:copytrade:problem:keys-unavailable")
    assert answer.json()["detail"] == "access keys cannot be checked now; call again later"
    assert int(answer.headers["Retry-After"]) >= 1
    assert "127.0.0.1" in caplog.text


async def test_a_repeated_change_that_has_ended_is_answered_with_its_result(
    gateway: httpx.AsyncClient, served_lanes: Lanes
) -> None:
    """Whether or not the caller prefers to wait."""
    headers = {"Idempotency-Key": "k"}
    await gateway.post("/v1/changes", json=body(), headers=headers)
    await served_lanes.done(await served_lanes.claim_one())

    again = await gateway.post("/v1/changes", json=body(), headers=headers)

    assert (again.status_code, again.json()["result"]["outcome"]) == (200, "applied")


async def test_the_parameter_of_the_wait_has_its_own_name_in_errors(gateway: httpx.AsyncClient) -> None:
    """And its rule is in words."""
    problem = (await gateway.get("/v1/changes/x", params={"wait": "-1"})).json()

    assert (problem["field"], problem["rule"]) == ("wait", "must be a number >= 0")


@pytest.mark.parametrize("as_lines", [False, True])
async def test_many_changes_are_enqueued_and_the_invalid_ones_listed(
    gateway: httpx.AsyncClient, as_lines: bool
) -> None:
    """By their places; the same key adds only what is missing."""
    rows: list[Any] = [body(change("1")), body(change("2"), traderId=""), body(change("3"))]
    content: dict[str, Any] = (
        {"content": lines(*rows), "headers": {"Content-Type": NDJSON}} if as_lines else {"json": rows, "headers": {}}
    )
    content["headers"]["Idempotency-Key"] = "many"

    first = (await gateway.post("/v1/changes:bulk", **content)).json()
    again = (await gateway.post("/v1/changes:bulk", **content)).json()

    assert [job["jobId"] for job in first["jobs"]] == ["local.many,0", "local.many,2"]
    assert [(row["index"], row["field"]) for row in first["refused"]] == [(1, "traderId")]
    assert [job["alreadyThere"] for job in again["jobs"]] == [True, True]


async def test_no_other_key_leads_to_a_change_of_a_bulk_call(gateway: httpx.AsyncClient) -> None:
    """A key with a counter is another one; what separates the two is in no key."""
    single = await gateway.post("/v1/changes", json=body(change("1")), headers={"Idempotency-Key": "x.0"})
    many = await gateway.post("/v1/changes:bulk", json=[body(change("1"))], headers={"Idempotency-Key": "x"})
    refused = await gateway.post("/v1/changes", json=body(change("1")), headers={"Idempotency-Key": "x,0"})

    assert single.status_code == 202
    assert [job["alreadyThere"] for job in many.json()["jobs"]] == [False]
    assert refused.status_code == 422


async def test_many_changes_are_enqueued_together_or_not_at_all(gateway: httpx.AsyncClient) -> None:
    """If the caller asks for that."""
    rows = [body(change("1")), body(change("2"), traderId="")]

    answer = await gateway.post("/v1/changes:bulk", params={"allOrNothing": "true"}, json=rows)

    assert (answer.status_code, answer.json()["errors"][0]["index"]) == (422, 1)
    assert (await gateway.get("/v1/users/1")).json()["lanes"] == []
