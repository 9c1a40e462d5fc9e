"""The console's screen of a user: its rate, its lanes with their changes, and what can be done with it."""

from __future__ import annotations

import httpx
import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Producer
from producers.contract.access_keys import Scope
from producers.gateway.console import user
from tests.support.changes import change
from tests.support.gateway import access_key, gateway_on, page_after, shown
from tests.support.lanes import Lanes

ODD = "u/'\"<b>"


async def test_a_user_is_shown_with_its_lanes_and_their_changes(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """Each change links to its own page; what names have is text."""
    for number in range(3):
        await served_producer.enqueue(change(ODD, "t<1>", str(number)), job_id=f"j/{number}")
    await served_producer.enqueue(change(ODD, "t2"))
    await served_lanes.claim(1)

    page = await shown(gateway, "/user", id=ODD)

    assert "<h1>User u/&#39;&#34;&lt;b&gt;</h1>" in page
    assert "<b>" not in page
    assert page.count("in flight") == 1
    assert 'href="/user?id=u%2F%27%22%3Cb%3E&amp;trader=t%3C1%3E">t&lt;1&gt;</a>' in page
    assert [page.count(f'href="/change?id=j%2F{number}"') for number in range(3)] == [2, 1, 1]


async def test_a_user_with_many_lanes_shows_the_first_ones_and_any_by_its_trader(
    gateway: httpx.AsyncClient, served_producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the first changes of each."""
    monkeypatch.setattr(user, "SHOWN_LANES", 2)
    monkeypatch.setattr(user, "SHOWN_CHANGES", 2)
    for number in range(3):
        await served_producer.enqueue_many([change("5", f"t{number}", str(value)) for value in range(4)])

    page = await shown(gateway, "/user", id="5")
    lane = await shown(gateway, "/user", id="5", trader="t2")

    assert "Lanes that are not shown: 1." in page
    assert page.count("<li><a href=") == 4
    assert page.count("And 2 more: <a href=") == 2
    assert lane.count("<li><a href=") == 4
    assert "It has no changes for trader t9." in await shown(gateway, "/user", id="5", trader="t9")


async def test_what_keeps_a_user_from_being_served_is_shown(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """A hold after a 429, rejected keys with their code, a pause, an own limit."""
    await served_lanes.submit(("j1", change("5")))
    await served_lanes.back(await served_lanes.claim_one(), hold_s=60)
    await served_lanes.redis.hset(KEYS.rejected_keys, "5", "fingerprint 40012 1000")  # type: ignore[misc]
    before = await shown(gateway, "/user", id="5")
    await served_producer.limit_user("5", 2.5)
    await served_producer.pause(user_id="5")
    after = await shown(gateway, "/user", id="5")
    await served_producer.pause(everything=True)

    assert "It is held for" in before
    assert "rejected its API keys with 40012" in before
    assert "<dd>keys rejected</dd>" in before
    assert "of 100 <meter" in before
    assert "<dd>paused</dd>" in after
    assert "waits: the user is paused" in after
    assert "2.5/s, its own" in after
    other = await shown(gateway, "/user", id="6")
    assert "It has no changes in the queue." in other
    assert "Everything is paused" in other


async def test_a_user_is_paused_and_resumed_from_its_page(gateway: httpx.AsyncClient) -> None:
    """And the page says so."""
    form = {"kind": "user", "name": "5"}
    paused = await gateway.post("/actions/pause", data=form)
    resumed = await gateway.post("/actions/resume", data=form)

    assert [answer.headers["Location"] for answer in (paused, resumed)] == ["/user?id=5"] * 2
    assert "Paused." in await page_after(gateway, paused)
    assert "Resumed." in await page_after(gateway, resumed)


async def test_a_users_own_limit_is_set_and_removed(gateway: httpx.AsyncClient, served_producer: Producer) -> None:
    """A rate that cannot be one is refused, and so is a form without any."""
    limited = await gateway.post("/actions/limit-user", data={"id": "5", "rate": "2.5"})
    refused = [
        await gateway.post("/actions/limit-user", data={"id": "5", "rate": rate})
        for rate in ("", "fast", "nan", "inf", "-1", "0", "1e9", "<b>", "1_0", "\u0661\u0660")
    ]
    status = await served_producer.user_status("5")
    removed = await gateway.post("/actions/limit-user", data={"id": "5", "restore": "yes"})

    assert "The limit is set." in await page_after(gateway, limited)
    assert [answer.status_code for answer in refused] == [422] * len(refused)
    assert all("rate: must be a number of requests a second from 0.01 to 1000;" in answer.text for answer in refused)
    assert status.rate_per_s == 2.5
    assert "The limit of its own is removed." in await page_after(gateway, removed)
    assert (await served_producer.user_status("5")).rate_per_s is None


async def test_a_user_is_pinned_to_an_egress_and_unpinned(
    gateway: httpx.AsyncClient, served_producer: Producer
) -> None:
    """The page says so, and that no worker of it is alive; a name that cannot be one is refused."""
    pinned = await gateway.post("/actions/pin-user", data={"id": "5", "egress": "near"})
    notice = await page_after(gateway, pinned)
    page = await shown(gateway, "/user", id="5")
    refused = [await gateway.post("/actions/pin-user", data={"id": "5", "egress": name}) for name in ("", "a b")]
    status = await served_producer.user_status("5")
    unpinned = await gateway.post("/actions/pin-user", data={"id": "5", "unpin": "yes"})

    assert "No worker sends through an egress of this name" in notice
    assert "<dd>near only</dd>" in page
    assert "No worker sends through its egress near" in page
    assert [answer.status_code for answer in refused] == [422, 422]
    assert status.egress == "near"
    assert "Unpinned" in await page_after(gateway, unpinned)
    assert "<dd>any</dd>" in await shown(gateway, "/user", id="5")


async def test_all_changes_of_a_user_are_cancelled_after_their_count_was_shown(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """Asking changes nothing; sent twice, the form does nothing more."""
    await served_producer.enqueue_many([change("5", trader, str(value)) for trader in "ab" for value in range(3)])
    await served_lanes.claim(1)

    asked = await shown(gateway, "/user/cancel", id="5")
    assert "6 changes in 2 lanes will end cancelled, except those of 1 request in flight." in asked
    assert (await served_producer.user_status("5")).lanes_total == 2
    first, again = [await gateway.post("/actions/cancel-user", data={"id": "5"}) for _ in range(2)]

    assert "Cancelled: 5 changes. 1 request in flight was not.<" in await page_after(gateway, first)
    assert "Cancelled: 0 changes" in await page_after(gateway, again)


async def test_only_who_may_operate_sees_and_sends_the_actions(
    valkey_dsn: str, valkey: ArqRedis, served_producer: Producer
) -> None:
    """A key that is bound to others does not see the user at all."""
    await served_producer.limit_user("5", 1)
    await served_producer.enqueue(change("5"))
    keys = [
        await access_key(valkey, Scope.READ, Scope.ENQUEUE),
        await access_key(valkey, *Scope, user_ids=frozenset({"6"})),
    ]
    statuses = []
    pages = []
    async with gateway_on(valkey_dsn, auth=True) as gateway:
        for key in keys:
            gateway.cookies.clear()
            await gateway.post("/sign-in", data={"key": key})
            answer = await gateway.get("/user", params={"id": "5"})
            pages.append(answer.text)
            statuses += [answer.status_code, (await gateway.get("/user/cancel", params={"id": "5"})).status_code]
            statuses += [
                (await gateway.post(f"/actions/{action}-user", data={"id": "5", "restore": "yes"})).status_code
                for action in ("limit", "pin", "cancel")
            ]
    async with gateway_on(valkey_dsn, gateway_read_only=True) as gateway:
        pages.append(await shown(gateway, "/user", id="5"))

    assert statuses == [200, 403, 403, 403, 403, 403, 403, 403, 403, 403]
    assert "/actions/" not in "".join(pages).replace("/actions/sign-out", "")
    assert "/user/cancel" not in "".join(pages)
    status = await served_producer.user_status("5")
    assert (status.rate_per_s, status.lanes_total) == (1, 1)


async def test_an_odd_user_is_answered_with_a_page(gateway: httpx.AsyncClient) -> None:
    """What was given is text in it."""
    answers = [
        await gateway.get("/user", params={"id": user_id}) for user_id in ("", "a b", "x" * 10_000, "\x00", "é", "<b>")
    ]

    assert [answer.status_code for answer in answers] == [422] * 5 + [200]
    assert "<b>" not in "".join(answer.text for answer in answers)


async def test_a_watched_user_costs_redis_little(gateway: httpx.AsyncClient, served_producer: Producer) -> None:
    """At most 20 calls a second, although its page is looked at every two seconds."""
    await served_producer.enqueue_many([change("5", f"t{lane}", str(value)) for lane in range(30) for value in (1, 2)])
    await gateway.get("/user", params={"id": "5"})
    redis = served_producer._redis
    before = (await redis.info("stats"))["total_commands_processed"]
    await gateway.get("/user", params={"id": "5"})
    calls = (await redis.info("stats"))["total_commands_processed"] - before

    assert calls <= 40
