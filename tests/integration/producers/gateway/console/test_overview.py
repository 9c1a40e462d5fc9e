"""The console's screens of the whole queue, and pausing and resuming what they show."""

from __future__ import annotations

import httpx
import pytest

from producers import Producer
from producers.gateway.console import watch
from tests.support.changes import change
from tests.support.gateway import shown
from tests.support.lanes import Lanes


async def test_lanes_that_a_paused_trader_keeps_back_are_shown(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """Nobody is due, and the page says why."""
    await served_producer.enqueue_many([change(user, "halted") for user in "123"])
    await served_producer.pause(trader_id="halted")
    await served_lanes.claim(3)

    page = await shown(gateway, "/")

    assert "<div><dt>Lanes paused</dt><dd>3</dd></div>" in page
    assert "No user is due: the lanes that wait do so until their user or trader is resumed." in page
    assert "lanes paused" in page


async def test_everything_is_paused_after_it_was_asked_for(
    gateway: httpx.AsyncClient, served_producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question says how many wait, the pages say it afterwards, and it is resumed from there."""
    monkeypatch.setattr(watch, "SHARED_S", 0.0)
    await served_producer.enqueue_many([change("1"), change("2")])

    asked = await shown(gateway, "/pause-everything")
    before = [await shown(gateway, path) for path in ("/", "/workers")]
    await gateway.post("/actions/pause", data={"kind": "everything"})
    after = [await shown(gateway, path) for path in ("/", "/workers")]
    await gateway.post("/actions/resume", data={"kind": "everything"})

    assert "2 users have changes that wait now, and 0 lanes are paused already. 0 requests in flight" in asked
    banner = "Everything is paused: nothing is sent until it is resumed."
    assert [banner in page for page in (*before, *after)] == [False, False, True, True]
    assert all("Resume everything" in page for page in after)
    assert not (await served_producer.overview()).everything_paused


async def test_an_id_beside_everything_is_refused(gateway: httpx.AsyncClient, served_producer: Producer) -> None:
    """Who typed an ID did not mean everything."""
    answer = await gateway.post("/actions/pause", data={"kind": "everything", "name": "5"})

    assert answer.status_code == 422
    assert "must be empty where everything is meant" in answer.text
    assert (await served_producer.overview()).pauses == []


async def test_a_pause_of_an_egress_that_no_worker_has_says_so(
    gateway: httpx.AsyncClient, served_producer: Producer
) -> None:
    """It is paused all the same: its workers may come later."""
    answer = await gateway.post("/actions/pause", data={"kind": "egress", "name": "nroth"}, follow_redirects=True)

    assert "Paused. No worker sends through an egress of this name" in answer.text
    assert [(pause.kind, pause.name) for pause in (await served_producer.overview()).pauses] == [("egress", "nroth")]


async def test_pausing_a_trader_leads_to_its_page(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """It counts the lanes that the pause holds back, and resumes the trader."""
    await served_producer.enqueue_many([change(user, "<b>") for user in "123"])
    form = {"kind": "trader", "name": "<b>"}

    paused = await gateway.post("/actions/pause", data=form)
    await served_lanes.claim(3)
    page = await shown(gateway, "/trader", id="<b>")
    resumed = await gateway.post("/actions/resume", data=form, follow_redirects=True)

    assert paused.headers["Location"] == "/trader?id=%3Cb%3E"
    assert "<h1>Trader &lt;b&gt;</h1>" in page
    assert "<div><dt>Lanes paused</dt><dd>3</dd></div>" in page
    assert "<div><dt>State</dt><dd>not paused</dd></div>" in resumed.text
    assert (await served_producer.overview()).interactive.due == 3
