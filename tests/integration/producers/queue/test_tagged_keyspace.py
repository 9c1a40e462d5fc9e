"""A queue whose names all begin with one tag."""

from __future__ import annotations

from arq.connections import ArqRedis

from producers import Outcome, Producer
from producers.contract.keyspace import Keyspace
from tests.support.changes import change
from tests.support.lanes import Lanes
from worker.credentials.sealed_records import SealedRecords

TAG = "{queue}"


async def test_every_script_and_every_command_keeps_to_the_names_of_the_client(redis: ArqRedis) -> None:
    """Changes, batches, dead letters, pauses, limits, claims, sessions and credentials; no key is outside."""
    redis.connection_pool.keyspace = Keyspace(TAG)  # type: ignore[attr-defined]  # as a DSN of a cluster will
    producer, lanes = Producer(redis), Lanes(redis)
    batch = await producer.fan_out((change(str(user)) for user in range(6)), batch_id="b")
    single = await producer.enqueue(change("6"), coalesce=True)
    cancelled = await producer.enqueue(change("7"))
    await cancelled.cancel()
    await producer.limit_user("1", 5)
    await SealedRecords(redis).put([("1", b"sealed")])
    claims = sorted(await lanes.claim(), key=lambda claim: claim.lane)
    await lanes.claimer.session.renew()
    for claim, verdict in zip(claims, ("permanent", "credentials", "throttled", *["success"] * 4), strict=True):
        await lanes.attempt(claim, verdict)
    await producer.pause(trader_id="t1")
    await producer.resume(trader_id="t1")
    await producer.pause(user_id="2")

    found = [key.decode() async for key in redis.scan_iter("*")]
    progress = await batch.progress()
    overview = await producer.overview()

    assert [key for key in found if not key.startswith(f"{TAG}:")] == []
    assert (progress.total, progress.outcomes[Outcome.REJECTED]) == (6, 1)
    assert (await single.result(timeout=30)).applied
    assert (await cancelled.result(timeout=30)).outcome is Outcome.CANCELLED
    assert (overview.interactive.users, overview.bulk.users) == (0, 1)
    assert await producer.dead.counts() == {Outcome.REJECTED: 1, Outcome.UNAUTHORIZED: 1, Outcome.EXHAUSTED: 0}
    assert (await producer.user_status("2")).paused
