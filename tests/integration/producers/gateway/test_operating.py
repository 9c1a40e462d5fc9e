"""Users, pauses, dead letters and the overview over HTTP."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from producers import Outcome
from tests.support.changes import change
from tests.support.gateway import body
from tests.support.lanes import Lanes


async def test_a_user_is_paused_limited_and_resumed(gateway: httpx.AsyncClient) -> None:
    """Each call says whether it changed something; the status shows it."""
    answers = [
        await gateway.post("/v1/users/1/pause"),
        await gateway.post("/v1/users/1/pause"),
        await gateway.put("/v1/users/1/limit", json={"ratePerS": 2.5}),
    ]
    status = (await gateway.get("/v1/users/1")).json()
    resumed = await gateway.post("/v1/users/1/resume")

    assert [answer.json() for answer in answers] == [{"changed": True}, {"changed": False}, {"ratePerS": 2.5}]
    assert (status["paused"], status["ratePerS"]) == (True, 2.5)
    assert resumed.json() == {"changed": True}


async def test_all_changes_of_a_user_are_cancelled(gateway: httpx.AsyncClient) -> None:
    """Those of others stay."""
    for user in ("1", "1", "2"):
        await gateway.post("/v1/changes", json=body(change(user)))

    assert (await gateway.post("/v1/users/1/cancel")).json() == {"cancelled": 2, "inFlight": 0}
    assert (await gateway.get("/v1/overview")).json()["interactive"]["users"] == 1


@pytest.mark.parametrize("target", [{"userId": "1"}, {"traderId": "t1"}, {"egress": "default"}, {"everything": True}])
async def test_pauses_are_listed_until_they_end(gateway: httpx.AsyncClient, target: dict[str, Any]) -> None:
    """Whatever is paused."""
    paused = await gateway.post("/v1/pauses/pause", json=target)
    listed = (await gateway.get("/v1/pauses")).json()
    resumed = await gateway.post("/v1/pauses/resume", json=target)

    assert paused.json() == resumed.json() == {"changed": True}
    assert [pause["kind"] for pause in listed] == [next(iter(target)).removesuffix("Id")]
    assert (await gateway.get("/v1/pauses")).json() == []


async def test_a_user_is_pinned_to_an_egress_and_unpinned(gateway: httpx.AsyncClient) -> None:
    """Its status and the list of pins show it."""
    pinned = await gateway.put("/v1/users/1/pin", json={"egress": "near"})
    status = (await gateway.get("/v1/users/1")).json()
    listed = (await gateway.get("/v1/pins")).json()
    unpinned = [(await gateway.delete("/v1/users/1/pin")).json() for _ in range(2)]

    assert pinned.json() == {"egress": "near"}
    assert status["egress"] == "near"
    assert listed == [{"userId": "1", "egress": "near"}]
    assert unpinned == [{"changed": True}, {"changed": False}]


async def test_many_users_are_pinned_at_once_or_none(gateway: httpx.AsyncClient) -> None:
    """What is wrong with an item is told with its place; the list can be one egress's."""
    many = [{"userId": str(number), "egress": "near" if number % 2 else "far"} for number in range(4)]
    changed = await gateway.post("/v1/pins:bulk", json=many)
    odd = [{"userId": "9", "egress": "x"}, {"userId": "9", "egress": "a b"}, {"userId": "a b", "egress": None}]
    refused = await gateway.post("/v1/pins:bulk", json=[*odd, {"userId": "8"}, {"userId": 7, "egress": "x"}, 6])
    near = (await gateway.get("/v1/pins", params={"egress": "near"})).json()
    back = await gateway.post("/v1/pins:bulk", json=[{"userId": pin["userId"], "egress": None} for pin in many])

    assert changed.json() == {"changed": 4}
    assert refused.status_code == 422
    places = [(row["index"], row["field"]) for row in refused.json()["errors"]]
    assert places == [(1, "egress"), (2, "userId"), (3, "egress"), (4, "userId"), (5, "body")]
    assert refused.json()["detail"] == "5 of the items are invalid; nothing was pinned"
    assert sorted(pin["userId"] for pin in near) == ["1", "3"]
    assert back.json() == {"changed": 4}
    assert (await gateway.get("/v1/pins")).json() == []


async def test_dead_letters_and_batches_are_paged(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """By the address in the header Link; the last page has none."""
    for user in ("1", "2", "3"):
        await gateway.post("/v1/changes", json=body(change(user)), headers={"Idempotency-Key": user})
        await gateway.post("/v1/batches", json={"batchId": f"b{user}", "changes": [body(change(user))]})
    for claim in await served_lanes.claim():
        await served_lanes.done(claim, Outcome.REJECTED)

    found: dict[str, list[str]] = {}
    for path, field in (("/v1/dead-letters?limit=2", "jobId"), ("/v1/batches?limit=2", "batchId")):
        page = await gateway.get(path)
        names = [row[field] for row in page.json()]
        while "next" in page.links:
            page = await gateway.get(page.links["next"]["url"])
            names += [row[field] for row in page.json()]
        found[field] = names

    assert sorted(found["jobId"]) == ["local.1", "local.2", "local.3"]
    assert found["batchId"] == ["b3", "b2", "b1"]
    assert "next" not in (await gateway.get("/v1/batches?limit=3")).links


async def test_dead_letters_are_listed_replayed_and_dropped(gateway: httpx.AsyncClient, served_lanes: Lanes) -> None:
    """By a filter, or by the job."""
    for user in ("1", "2", "3"):
        await gateway.post("/v1/changes", json=body(change(user)), headers={"Idempotency-Key": user})
    for claim in await served_lanes.claim():
        await served_lanes.done(claim, Outcome.REJECTED, code="40034")

    listed = (await gateway.get("/v1/dead-letters", params={"outcome": "rejected", "limit": 2})).json()
    chosen = [
        len((await gateway.get("/v1/dead-letters", params=filters)).json())
        for filters in ({"traderId": "t1"}, {"traderId": "t2"}, {"code": "40034"}, {"code": "40017"})
    ]
    kept = (await gateway.post("/v1/dead-letters/drop", json={"code": "40017", "traderId": "t1"})).json()
    shown = (await gateway.get("/v1/dead-letters/local.1")).json()
    replayed = (await gateway.post("/v1/dead-letters/replay", json={"jobId": "local.1"})).json()
    dropped = (await gateway.post("/v1/dead-letters/drop", json={"everything": True})).json()

    assert len(listed) == 2
    assert chosen == [3, 0, 3, 0]
    assert kept == {"dropped": 0}
    assert (shown["jobId"], shown["outcome"]) == ("local.1", "rejected")
    assert [row["jobId"] for row in replayed["replayed"]] == ["local.1"]
    assert dropped == {"dropped": 2}
    assert (await gateway.get("/v1/dead-letters/local.1")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "content", "field"),
    [
        ("POST", "/v1/pauses/pause", {}, "body"),
        ("POST", "/v1/pauses/pause", {"userId": "1", "everything": True}, "body"),
        ("POST", "/v1/pauses/resume", {"surprise": 1}, "surprise"),
        ("POST", "/v1/pauses/resume", {"userId": 1}, "userId"),
        ("POST", "/v1/dead-letters/drop", {}, "body"),
        ("POST", "/v1/dead-letters/drop", {"everything": True, "userId": "1"}, "body"),
        ("POST", "/v1/dead-letters/replay", {"outcome": "surprising"}, "outcome"),
        ("PUT", "/v1/users/1/limit", {"ratePerS": 0}, "ratePerS"),
        ("PUT", "/v1/users/1/limit", {"ratePerS": "fast"}, "ratePerS"),
        ("PUT", "/v1/users/1/limit", {}, "ratePerS"),
        ("PUT", "/v1/users/1/limit", [], "body"),
        ("PUT", "/v1/users/1/pin", {"egress": None}, "egress"),
        ("PUT", "/v1/users/1/pin", {"egress": "a b"}, "egress"),
        ("POST", "/v1/pins:bulk", {"1": "near"}, "body"),
    ],
)
async def test_a_target_that_is_none_is_a_problem_that_names_the_field(
    gateway: httpx.AsyncClient, method: str, path: str, content: Any, field: str
) -> None:
    """In the words of JSON; nothing is changed."""
    answer = await gateway.request(method, path, json=content)

    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert answer.json()["field"] == field
    assert not any(word in answer.text for word in ("None", "Object", "Expected", "`", "NewLimit", "b'"))


async def test_a_limit_that_is_taken_back_has_words_in_its_audit_line(
    gateway: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that is set."""
    caplog.set_level(logging.INFO)
    for rate in (2.5, None):
        await gateway.put("/v1/users/1/limit", json={"ratePerS": rate})

    lines = [message for message in caplog.messages if "limit user 1" in message]
    assert [line.partition(" to ")[2] for line in lines] == ["2.5 requests a second", "the workers' rate"]


async def test_a_probe_may_ask_for_the_head_alone(gateway: httpx.AsyncClient) -> None:
    """Whether the process serves."""
    answer = await gateway.head("/livez")

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(("path", "status"), [("/v1/nothing", 404), ("/v1/changes/a/b", 404), ("/v1/changes", 405)])
async def test_an_unknown_path_or_method_is_a_problem(gateway: httpx.AsyncClient, path: str, status: int) -> None:
    """Also one of the framework's own errors."""
    answer = await gateway.patch(path)

    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
