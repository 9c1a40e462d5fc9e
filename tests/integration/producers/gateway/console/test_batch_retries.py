"""What the console does with the failed changes of a batch: retrying all, or those of a cause."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from arq.connections import ArqRedis

from producers import DeadLetterNotFound, Outcome, Producer, QueueUnavailable
from producers.contract.access_keys import Scope
from producers.queue import replay, resubmission
from tests.support.fan_outs import end_some, to_users, users
from tests.support.gateway import access_key, gateway_on, page_after, shown
from tests.support.lanes import Lanes

FIELDS = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


async def test_failed_changes_are_retried_after_their_count_was_shown(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """As a batch of their own. Sent twice, the form enqueues nothing more."""
    await to_users(served_producer, users(4), "july")
    await end_some(served_lanes, [(Outcome.REJECTED, {})] * 3 + [(Outcome.APPLIED, {})])

    asked = await shown(gateway, "/batch/retry", id="july")
    form = dict(FIELDS.findall(asked))
    first, again = [await gateway.post("/actions/retry-batch", data=form) for _ in range(2)]
    without_id = await gateway.post("/actions/retry-batch", data={"id": "july"})

    assert "Retry 3 failed changes of batch july?" in asked
    retried = await page_after(gateway, first)
    assert f"<h1>Batch {form['as']}</h1>" in retried
    assert "Enqueued again: 3 changes" in retried
    assert again.headers["Location"] == first.headers["Location"]
    assert "Enqueued again before, as this batch." in await page_after(gateway, again)
    assert "No failed change is left" in await page_after(gateway, without_id)
    assert len(await served_lanes.claim()) == 3


@pytest.mark.parametrize("is_sent_again", [True, False])
async def test_a_retry_that_was_cut_off_is_completed(
    gateway: httpx.AsyncClient,
    served_producer: Producer,
    served_lanes: Lanes,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_sent_again: bool,
) -> None:
    """By the same form, and by that of a page that is made anew: as the same batch, which is sealed."""
    batch = await to_users(served_producer, users(5), "july")
    await end_some(served_lanes, [(Outcome.REJECTED, {})] * 5)
    form = dict(FIELDS.findall(await shown(gateway, "/batch/retry", id="july")))
    send, sent = resubmission.resubmit, 0

    def cut_off(*arguments: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == 3:
            raise QueueUnavailable("away")
        return (yield from send(*arguments))

    with monkeypatch.context() as away:
        away.setattr(replay, "READ_BATCH_SIZE", 2)
        away.setattr(replay, "resubmit", cut_off)
        answer = await gateway.post("/actions/retry-batch", data=form)
    assert answer.status_code == 503
    assert await served_producer.dead.count(batch_id="july") == 5
    asked = await shown(gateway, "/batch/retry", id="july")
    await gateway.post("/actions/retry-batch", data=form if is_sent_again else dict(FIELDS.findall(asked)))

    progress = await served_producer.batch(form["as"]).progress()
    assert (progress.total, progress.sealed) == (5, True)
    assert {each.batch_id for each in await served_producer.batches()} == {"july", form["as"]}
    with pytest.raises(DeadLetterNotFound):
        await batch.retry_failed()


async def test_a_bound_key_retries_as_no_batch_of_others(
    valkey_dsn: str, valkey: ArqRedis, served_producer: Producer, served_lanes: Lanes
) -> None:
    """Whatever the form says."""
    key = await access_key(valkey, *Scope, user_ids=frozenset(users(2)))
    own = f"{key.split('_')[1]}.july"
    await to_users(served_producer, users(2), own)
    await end_some(served_lanes, [(Outcome.REJECTED, {})])
    async with gateway_on(valkey_dsn, auth=True) as gateway:
        await gateway.post("/sign-in", data={"key": key})
        statuses = [
            (await gateway.post("/actions/retry-batch", data={"id": own, "as": new_id})).status_code
            for new_id in ("theirs", f"{own}.retry-1")
        ]

    assert statuses == [403, 303]


async def test_nothing_is_to_be_retried_without_dead_letters(
    gateway: httpx.AsyncClient, served_producer: Producer, served_lanes: Lanes
) -> None:
    """The button goes with the last of them. A cause can be retried alone; batch and retries lead to each other."""
    handle = await to_users(served_producer, users(2), "july")
    await end_some(served_lanes, [(Outcome.UNAUTHORIZED, {"code": "40037"}), (Outcome.REJECTED, {"code": "40017"})])
    before = await shown(gateway, "/batch", id="july")
    asked = await shown(gateway, "/batch/retry", id="july")
    of_cause = await shown(gateway, "/batch/retry", id="july", outcome="rejected", code="40017")
    cause = {"id": "july", "outcome": "rejected", "code": "40017"}
    first = await page_after(gateway, await gateway.post("/actions/retry-batch", data=cause))
    new = await handle.retry_failed()
    after = await shown(gateway, "/batch", id="july")

    assert "Retry failed" in before
    assert "Ended unauthorized: 1 of these." in asked
    assert 'href="/batch?id=july&amp;outcome=unauthorized#results"' in asked
    assert 'href="/batch/retry?id=july&amp;outcome=rejected&amp;code=40017">Retry these<' in before
    assert "Retry 1 failed change of batch july, outcome rejected, code 40017?" in of_cause
    assert '<input type="hidden" name="code" value="40017">' in of_cause
    assert "Ended unauthorized" not in of_cause
    assert "0 of 1" in first
    assert "Retry failed" not in after
    assert "Retry these" not in after
    assert after.count('href="/batch?id=july.retry-') == 2
    assert 'href="/batch?id=july">july</a>' in await shown(gateway, "/batch", id=new.batch_id)
    assert 'href="/batch?id=july&amp;outcome=rejected&amp;code=40017#results"' in before
    of_code = await shown(gateway, "/batch", id="july", code="40017")
    assert of_code.count('data-label="Tries"') == 1
