"""The console's screen of a change: what it sets, why it waits, its attempts, its outcome, cancelling it."""

from __future__ import annotations

import httpx
import pytest
from arq.connections import ArqRedis

from producers import JobState, Producer, SettingsChange
from producers.contract.access_keys import Scope
from producers.gateway.console.change import INTERVAL_S
from tests.support.changes import change, setting
from tests.support.gateway import access_key, gateway_on, page_after, shown
from tests.support.lanes import Lanes

ODD = "j/'\"<b>"


async def test_a_change_that_waits_says_why_and_what_it_sets(
    gateway: httpx.AsyncClient, served_producer: Producer
) -> None:
    """Its settings are a table with the fields that one of them has; what IDs have is text."""
    settings = [setting(), setting(symbol="ETHUSDT", lever_type="specify", long_leverage="20")]
    one = SettingsChange(user_id=ODD, trader_id="t<1>", settings=settings, auto_copy="on")
    await served_producer.enqueue(one, job_id=ODD)
    await served_producer.pause(user_id=ODD)

    page = await shown(gateway, "/change", id=ODD)

    assert "It waits: user j/&#39;&#34;&lt;b&gt; is paused. There is no estimate" in page
    assert "<b>" not in page
    assert 'href="/user?id=j%2F%27%22%3Cb%3E"' in page
    assert 'data-label="longLeverage">-</td>' in page
    assert 'data-label="longLeverage">20</td>' in page
    assert "stopLossRatio" not in page
    assert "<dt>autoCopy</dt><dd>on</dd>" in page
    assert "<dt>Deadline</dt>" in page
    assert "It was not sent yet." in page


async def test_a_change_that_backs_off_shows_its_attempts_so_far(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """And when it is tried again."""
    job = await served_producer.enqueue(change())
    await served_lanes.attempt(await served_lanes.claim_one(), "throttled", code="429", status=429, message="<slow>")
    page = await shown(gateway, "/change", id=job.job_id)

    assert "throttled by the exchange, not counted as a try" in page
    assert 'data-label="Message">&lt;slow&gt;</td>' in page
    assert 'data-label="HTTP status">429</td>' in page
    assert "It waits: " in page


async def test_an_ended_change_shows_its_outcome_and_each_attempt(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """Each with how long it had waited before it. A change of a batch links to it."""
    await served_producer.fan_out(trader_id="t1", settings=[setting()], user_ids=["1"], batch_id="july")
    await served_lanes.attempt(await served_lanes.claim_one(), "transient", code="40015")
    await served_lanes.due_now("1:t1")
    in_flight_claim = await served_lanes.claim_one()
    in_flight = await shown(gateway, "/change", id="july..1")
    await served_lanes.attempt(in_flight_claim, "permanent", code="40034", message="no such trader")
    page = await shown(gateway, "/change", id="july..1")

    assert "It is being sent." in in_flight
    assert "/change/cancel" not in in_flight
    assert '<dd class="rejected">rejected</dd>' in page
    assert "no such trader" in page
    assert ": a pause after the failure</td>" in page
    assert page.count('data-label="Verdict"') == 2
    assert 'href="/batch?id=july"' in page
    assert "<dt>traceValue</dt><dd>330</dd>" in page


async def test_a_change_is_cancelled_after_asking(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """Asking changes nothing. Once it has ended, both say so; one in flight is not cancelled."""
    job = await served_producer.enqueue(change())
    asked = await shown(gateway, "/change/cancel", id=job.job_id)
    state = (await job.status()).state
    first, again = [await gateway.post("/actions/cancel-change", data={"id": job.job_id}) for _ in range(2)]
    asked_again = await gateway.get("/change/cancel", params={"id": job.job_id})
    sending = await served_producer.enqueue(change("2"))
    await served_lanes.claim_one()
    in_flight = await gateway.post("/actions/cancel-change", data={"id": sending.job_id})

    assert f"Cancel 1 change, {job.job_id}? Its 1 setting of user 1001 for trader t1 will not be set." in asked
    assert state is JobState.QUEUED
    assert "Cancelled." in await page_after(gateway, first)
    assert "Not cancelled: it had ended." in await page_after(gateway, again)
    assert "Not cancelled: it had ended." in await page_after(gateway, asked_again)
    assert "Not cancelled: it is being sent." in await page_after(gateway, in_flight)


async def test_a_failed_change_is_retried_after_asking(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """As a change of its own. Sent again, the form enqueues nothing more."""
    job = await served_producer.enqueue(change())
    await served_lanes.attempt(await served_lanes.claim_one(), "permanent", code="40034")
    page = await shown(gateway, "/change", id=job.job_id)
    asked = await shown(gateway, "/change/retry", id=job.job_id)
    first, again = [await gateway.post("/actions/retry-change", data={"id": job.job_id}) for _ in range(2)]
    retried = await page_after(gateway, first)

    assert f'href="/change/retry?id={job.job_id}"' in page
    assert f"Retry 1 change, {job.job_id}?" in asked
    assert f"<h1>Change {job.job_id}~~" in retried
    assert "Enqueued again, as this change." in retried
    assert again.headers["Location"] == f"/change?id={job.job_id}"
    assert "/change/retry" not in await page_after(gateway, again)
    assert (await served_producer.user_status("1001")).lanes[0].queued == 1


async def test_only_who_may_enqueue_cancels_and_retries_a_change(
    valkey_dsn: str, valkey: ArqRedis, served_producer: Producer
) -> None:
    """A key that is bound sees only the changes that it enqueued."""
    job = await served_producer.enqueue(change())
    answers: list[httpx.Response] = []
    for key in (
        await access_key(valkey, Scope.READ, Scope.OPERATE),
        await access_key(valkey, *Scope, user_ids=frozenset({"1001"})),
    ):
        async with gateway_on(valkey_dsn, auth=True) as gateway:
            await gateway.post("/sign-in", data={"key": key})
            answers += [
                await gateway.get("/change", params={"id": job.job_id}),
                await gateway.get("/change/cancel", params={"id": job.job_id}),
                await gateway.post("/actions/cancel-change", data={"id": job.job_id}),
                await gateway.post("/actions/retry-change", data={"id": job.job_id}),
            ]

    assert [answer.status_code for answer in answers] == [200, 403, 403, 403] + [403] * 4
    assert "/change/cancel" not in answers[0].text
    assert (await job.status()).state is JobState.QUEUED


@pytest.mark.parametrize("path", ["/change", "/change/cancel"])
async def test_an_odd_change_is_answered_with_a_page(gateway: httpx.AsyncClient, path: str) -> None:
    """What was given is text in it."""
    odd = {"nobody<b>": 404, "": 422, "a b": 422, "x" * 10_000: 422, "\x00": 422, "é": 422}
    answers = [await gateway.get(path, params={"id": job_id}) for job_id in odd]

    assert [answer.status_code for answer in answers] == list(odd.values())
    assert all('role="alert"' in answer.text and "<b>" not in answer.text for answer in answers)


async def test_a_watched_change_costs_redis_little(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """At most 15 calls a second, although its page is looked at every three seconds."""
    await served_producer.enqueue(change())
    job = await served_producer.enqueue(change())
    await served_lanes.attempt(await served_lanes.claim_one(), "transient")
    await gateway.get("/change", params={"id": job.job_id})
    redis = served_producer._redis
    before = (await redis.info("stats"))["total_commands_processed"]
    await gateway.get("/change", params={"id": job.job_id})
    calls = (await redis.info("stats"))["total_commands_processed"] - before

    assert calls <= 15 * INTERVAL_S
