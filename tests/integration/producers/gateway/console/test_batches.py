"""The console's screens of batches: progress, failures by cause, results, and what can be done with them."""

from __future__ import annotations

import httpx
import pytest
from arq.connections import ArqRedis

from producers import Outcome, Producer
from producers.contract.access_keys import Scope
from producers.gateway.console import batch_results, batches
from tests.support.changes import change
from tests.support.fan_outs import end_all, end_some, to_users, users
from tests.support.gateway import access_key, gateway_on, shown
from tests.support.lanes import Lanes


async def test_batches_are_listed_newest_first_page_by_page(
    gateway: httpx.AsyncClient, served_producer: Producer, valkey: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With how far they are. A link leads to the older ones."""
    monkeypatch.setattr(batches, "SHOWN", 2)
    for number in range(3):
        await to_users(served_producer, users(3), f"b{number}")
        await valkey.zadd("copytrade:batches", {f"b{number}": number})
    await end_some(Lanes(valkey), [(Outcome.REJECTED, {})])

    newest, older = await shown(gateway, "/batches"), await shown(gateway, "/batches", skip="2")

    assert newest.index(">b2<") < newest.index(">b1<")
    assert ">b0<" not in newest
    assert 'href="/batches?skip=2"' in newest
    assert ">b0<" in older
    assert ">b1<" not in older
    assert "1 of 3" in older
    assert "1 rejected" in older
    assert "Older batches" not in older


async def test_a_bound_key_s_pages_of_batches_are_full(
    valkey_dsn: str, valkey: ArqRedis, served_producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever batches of others are between its own; in the API too."""
    monkeypatch.setattr(batches, "SHOWN", 2)
    key = await access_key(valkey, *Scope, user_ids=frozenset(users(3)))
    own = key.split("_")[1]
    for number in range(9):
        batch_id = f"{own}.b{number}" if number % 3 == 0 else f"b{number}"
        await to_users(served_producer, users(3), batch_id)
        await valkey.zadd("copytrade:batches", {batch_id: number})
    async with gateway_on(valkey_dsn, auth=True) as gateway:
        listed = await gateway.get("/v1/batches?limit=2", headers={"Authorization": f"Bearer {key}"})
        await gateway.post("/sign-in", data={"key": key})
        newest, older = await shown(gateway, "/batches"), await shown(gateway, "/batches", skip="2")

    assert [f">{own}.b{number}<" in newest for number in (6, 3, 0)] == [True, True, False]
    assert 'href="/batches?skip=2"' in newest
    assert f">{own}.b0<" in older
    assert "Older batches" not in older
    assert [each["batchId"] for each in listed.json()] == [f"{own}.b6", f"{own}.b3"]
    assert "skip=2" in listed.headers["Link"]


async def test_results_are_shown_page_by_page_and_by_outcome(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link leads to the next; each result links to its user and its change."""
    monkeypatch.setattr(batch_results, "SHOWN_RESULTS", 2)
    handle = await to_users(served_producer, users(5), "july")
    await end_some(served_lanes, [(Outcome.APPLIED, {})] * 2 + [(Outcome.EXHAUSTED, {"user_id": "u/'<"})])
    cursor = (await handle.page(limit=2)).cursor

    first = await shown(gateway, "/batch", id="july")
    second = await shown(gateway, "/batch", id="july", after=cursor)
    failed = await shown(gateway, "/batch", id="july", outcome="exhausted")

    assert httpx.QueryParams({"id": "july", "after": cursor})["after"] == cursor
    assert f"after={cursor.replace('/', '%2F')}" in first
    assert (first.count('data-label="Tries"'), second.count('data-label="Tries"')) == (2, 1)
    assert "Next results" not in second
    assert failed.count('data-label="Tries"') == 1
    assert 'href="/user?id=u%2F%27%3C">u/&#39;&lt;</a>' in failed


async def test_a_users_change_is_found_in_a_batch(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one of a template by its ID, whether it has ended or not; in others among some results at a time."""
    monkeypatch.setattr(batch_results, "SEARCHED_PAGE", 1)
    monkeypatch.setattr(batch_results, "SEARCHED_PAGES", 1)
    await to_users(served_producer, users(2), "july")
    await end_some(served_lanes, [(Outcome.APPLIED, {})])
    await served_producer.fan_out([change("7"), change("8")], batch_id="own")
    for claim in await served_lanes.claim():
        if claim.job_id.startswith("own"):
            await served_lanes.done(claim, user_id=claim.lane.partition(":")[0])
    first = (await served_producer.batch("own").page(limit=1)).results[0]
    other = {"7": "8", "8": "7"}[first.user_id]

    assert "The change of user 2 is in flight" in await shown(gateway, "/batch", id="july", user="2")
    assert 'href="/change?id=july..1"' in await shown(gateway, "/batch", id="july", user="1")
    assert 'href="/change?id=july..1"' in await shown(gateway, "/batch", id="july", user="1", outcome="applied")
    assert "There are no such results" in await shown(gateway, "/batch", id="july", user="1", outcome="rejected")
    assert "There are no such results" in await shown(gateway, "/batch", id="july", user="1", code="40017")
    assert "There are no such results" in await shown(gateway, "/batch", id="july", user="3")
    assert f">{first.user_id}</a></th>" in await shown(gateway, "/batch", id="own", user=first.user_id)
    not_yet = await shown(gateway, "/batch", id="own", user=other)
    assert "Of the 1 results that were looked at, none matches." in not_yet
    assert f"user={other}#results" in not_yet


@pytest.mark.parametrize(("file_format", "start"), [("csv", "userId,"), ("ndjson", '{"jobId"')])
async def test_all_results_are_downloaded(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes, file_format: str, start: str
) -> None:
    """As a file named after the batch."""
    await to_users(served_producer, users(3), "ju'ly")
    await end_all(served_lanes)

    answer = await gateway.get("/batch/export", params={"id": "ju'ly", "format": file_format})

    assert answer.headers["Content-Disposition"] == f'attachment; filename="ju_ly.{file_format}"'
    assert answer.text.startswith(start)
    assert len(answer.text.splitlines()) == 3 + (file_format == "csv")


async def test_odd_input_is_answered_with_a_page(gateway: httpx.AsyncClient, served_producer: Producer) -> None:
    """What was given is text in it."""
    await to_users(served_producer, users(1), "july")
    answers = {
        (path, *params.values()): await gateway.get(path, params=params)
        for path, params in [
            ("/batch", {"id": "<b>x"}),
            ("/batch/cancel", {"id": "none"}),
            ("/batch", {"id": "<b>x" + "x" * 10_000}),
            ("/batch", {}),
            ("/batch", {"id": "july", "after": "july/9-9' or 1"}),
            ("/batch", {"id": "july", "outcome": "surprising"}),
            ("/batch", {"id": "july", "user": "a b"}),
            ("/batch/export", {"id": "july", "format": "exe"}),
            ("/batches", {"skip": "-1"}),
        ]
    }

    assert [answer.status_code for answer in answers.values()] == [404] * 2 + [422] * 7
    assert all('role="alert"' in answer.text and "<b>x" not in answer.text for answer in answers.values())


async def test_only_who_may_enqueue_sees_and_sends_the_actions(
    valkey_dsn: str, valkey: ArqRedis, served_producer: Producer, served_lanes: Lanes
) -> None:
    """A key that is bound sees its own batches only; a gateway that is read-only has no buttons."""
    await to_users(served_producer, users(3), "july")
    await end_some(served_lanes, [(Outcome.REJECTED, {})])
    key = await access_key(valkey, Scope.READ)
    bound = await access_key(valkey, Scope.READ, Scope.ENQUEUE, user_ids=frozenset({"1"}))
    statuses: list[int] = []
    async with gateway_on(valkey_dsn, auth=True) as gateway:
        await gateway.post("/sign-in", data={"key": key})
        reader = await shown(gateway, "/batch", id="july")
        statuses += [(await gateway.post("/actions/cancel-batch", data={"id": "july"})).status_code]
        gateway.cookies.clear()
        await gateway.post("/sign-in", data={"key": bound})
        statuses += [
            (await gateway.get(path, params={"id": "july"})).status_code for path in ("/batch", "/batch/export")
        ]
        listed = await shown(gateway, "/batches")
    async with gateway_on(valkey_dsn, gateway_read_only=True) as gateway:
        read_only = await shown(gateway, "/batch", id="july")
        statuses += [(await gateway.post("/actions/retry-batch", data={"id": "july"})).status_code]

    assert statuses == [403, 403, 403, 403]
    assert 'class="button' not in reader + read_only
    assert "july" not in listed
