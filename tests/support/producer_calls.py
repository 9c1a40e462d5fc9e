"""All that can be asked of a producer, while a worker works. The user "nobody" has no keys."""

from __future__ import annotations

from producers import DeadLetterGrouping, Outcome, Producer
from tests.support.changes import change, numbered


async def call_everything(producer: Producer) -> None:
    """Everything that can be asked of a producer while a worker works."""
    await producer.enqueue_many(numbered(3, "1001"))
    job = await producer.enqueue(change("1002"), coalesce=True)
    assert (await job.result(timeout=20)).applied
    assert (await job.status()).result is not None
    assert [attempt.verdict for attempt in (await job.details()).attempts] == ["success"]
    batch = await producer.fan_out([change("1001"), change("1002"), change("1003")], batch_id="july")
    assert (await batch.wait(timeout=20)).complete
    assert len([result async for result in batch.results()]) == 3
    await producer.pause(user_id="1003")
    queued = [await producer.enqueue(one) for one in numbered(4, "1003")]
    assert [pause.name for pause in await producer.paused()] == ["1003"]
    assert (await queued[3].cancel()).value == "cancelled"
    await producer.limit_user("1003", 5)
    await producer.user_status("1003")
    await producer.resume(user_id="1003")
    assert (await queued[0].result(timeout=20)).applied
    await producer.pause(trader_id="t9")
    await producer.resume(trader_id="t9")
    await producer.pause(everything=True)
    await producer.resume(everything=True)
    await producer.limit_user("1003", None)
    await producer.cancel_user("1003")
    await producer.pin_user("1002", "default")
    assert (await (await producer.enqueue(change("1002"))).result(timeout=20)).applied
    assert [pin.user_id async for pin in producer.pins()] == ["1002"]
    await producer.unpin_user("1002")
    await producer.batches()
    seen = await producer.overview()
    assert len(seen.workers) == 1


async def fail_and_replay(producer: Producer) -> None:
    """Everything that can be asked of dead letters."""
    failed = await producer.fan_out([change("nobody")], batch_id="failing")
    await failed.wait(timeout=20)
    assert len([dead_letter async for dead_letter in producer.dead.list()]) == 1
    assert len((await producer.dead.page(code="none")).letters) == await producer.dead.count() == 1
    assert len((await producer.dead.groups(DeadLetterGrouping.CAUSE)).groups) == 1
    again = await failed.retry_failed()
    await again.wait(timeout=20)
    assert [result.outcome async for result in again.results()] == [Outcome.UNAUTHORIZED]
    await producer.dead.replay(user_id="nobody")
    await producer.dead.drop(user_id="nobody")
