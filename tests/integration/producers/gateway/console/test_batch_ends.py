"""What the console's screen of a batch says of its end: what it waits for, and cancelling it."""

from __future__ import annotations

import httpx
import pytest
from arq.connections import ArqRedis

from producers import Job, JobDetails, Producer
from producers.gateway.console import batch
from producers.gateway.console.assets import VERSION
from tests.support.changes import change
from tests.support.fan_outs import to_users, users
from tests.support.gateway import page_after, shown
from tests.support.lanes import Lanes


async def test_a_batch_says_what_it_waits_for(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """A worker, or the pause of one of its users, with the way to it; nothing while requests of it are in flight."""
    await to_users(served_producer, users(2), "july")
    claims = await served_lanes.claim()
    moving = await shown(gateway, "/batch", id="july")
    for claim in claims:
        await (served_lanes.back(claim, 60) if claim.job_id == "july..2" else served_lanes.done(claim))
    stopped = await shown(gateway, "/batch", id="july")
    await served_producer.pause(user_id="2")
    paused = await shown(gateway, "/batch", id="july")

    assert "It waits for" not in moving
    assert 'It waits for <a href="/change?id=july..2">change july..2</a>: no worker is alive.' in stopped
    assert 'href="/workers">workers, egresses and pauses</a>' in stopped
    assert "user 2 is paused" in paused
    assert 'href="/user?id=2">Its user</a>' in paused


async def test_a_batch_says_that_its_trader_is_paused_before_it_names_a_user(
    gateway: httpx.AsyncClient, served_producer: Producer
) -> None:
    """By a change of its own. Of one whose change is not known to be first in its lane, it says so of the other."""
    await served_producer.enqueue(change("1"), job_id="before")
    await to_users(served_producer, users(2), "july")
    await served_producer.fan_out([change("1")], batch_id="own")
    await served_producer.pause(user_id="1")
    of_user = await shown(gateway, "/batch", id="own")
    await served_producer.pause(trader_id="t1")
    of_both = await shown(gateway, "/batch", id="july")

    assert ">change before</a>, which is before its own in the lane: user 1 is paused." in of_user
    assert ">change july..1</a>: trader t1 is paused." in of_both


async def test_a_batch_is_cancelled_after_its_count_was_shown(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """Sent twice, the form does nothing more."""
    handle = await to_users(served_producer, users(5), "july")
    await served_lanes.claim(2)

    asked = await shown(gateway, "/batch/cancel", id="july")
    assert "3 queued changes of 5 will end cancelled, 2 requests in flight will not" in asked
    assert (await handle.progress()).queued == 3
    answers = [await gateway.post("/actions/cancel-batch", data={"id": "july"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert "Cancelled: 3 changes. 2 requests in flight were not.<" in await page_after(gateway, answers[0])
    assert (await handle.progress()).outcomes == {"cancelled": 3}


async def test_the_rest_of_a_batch_is_cancelled_after_a_cancellation_that_was_cut_short(
    gateway: httpx.AsyncClient, served_producer: Producer, valkey: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that the rest is not sent, and names no time: nothing waits for a slot."""
    monkeypatch.setattr(batch, "CANCELLED_PER_S", 1)
    handle = await to_users(served_producer, users(5), "july")
    await valkey.hset("copytrade:batch:july", "cancelled_at", "1")  # type: ignore[misc]
    left = await shown(gateway, "/batch", id="july")
    asked = await shown(gateway, "/batch/cancel", id="july")
    await gateway.post("/actions/cancel-batch", data={"id": "july"})
    done = await shown(gateway, "/batch", id="july")

    assert "It is cancelled: 5 changes that are still queued will not be sent." in left
    assert ">Cancel the rest</a>" in left
    assert "Ends in" not in left
    assert "Cancel the rest of batch july?" in asked
    assert "It may take 5.0 s. Once it has begun, it goes on to its end" in asked
    assert (await handle.progress()).outcomes == {"cancelled": 5}
    assert "/batch/cancel" not in done
    assert "It is cancelled" not in done


async def test_a_watched_batch_reads_seldom_what_it_waits_for(
    gateway: httpx.AsyncClient, served_producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes most of a look's commands. A page that is loaded reads it."""
    await to_users(served_producer, users(3), "july")
    read: list[str] = []
    details = Job.details

    async def counted(self: Job) -> JobDetails:
        read.append(self.job_id)
        return await details(self)

    monkeypatch.setattr(Job, "details", counted)
    async with gateway.stream("GET", "/batch/live", params={"id": "july", "version": VERSION}) as stream:
        looks = stream.aiter_text()
        await anext(looks)
        await served_producer.job("july..3").cancel()
        changed = await anext(looks)
    watched = len(read)
    await shown(gateway, "/batch", id="july")

    assert "1 of 3" in changed
    assert "It waits for" in changed
    assert (watched, len(read)) == (1, 2)
