"""Programs of today beside those with which layout 2 came (commit bf34b7b): each reads what the other writes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from ops.keys import KEYS
from producers import JobState, Outcome, Producer
from producers.settings import ProducerSettings
from tests.support.changes import change
from tests.support.contents import contents
from tests.support.fan_outs import to_users, users
from tests.support.lanes import BEAT_S, Lanes
from tests.support.layout_2 import Parts, violations
from tests.support.stored_queue import StoredQueue
from tests.support.tracing import TRACED, exported
from tests.support.upgraded import Upgraded, open_queue

FIRST = StoredQueue.from_file("queue_of_layout_2.json")


@pytest.fixture
async def stored(valkey_dsn: str) -> AsyncIterator[Upgraded]:
    """The queue as that version left it: a worker of it holds a lane."""
    lanes = await open_queue(valkey_dsn, FIRST)
    yield lanes
    await lanes.redis.aclose()


async def take_over(lanes: Upgraded) -> None:
    """Let the session of the earlier worker lapse, while one of today renews its own."""
    session = await lanes.new_session()
    for _ in range(8):
        await lanes.advance(BEAT_S)
        while await session.renew():
            pass


async def test_a_worker_of_today_ends_what_the_first_version_left_in_order(stored: Upgraded) -> None:
    """It takes the lane of its dead worker back by the session's row; nothing has to be moved first."""
    producer = Producer(stored.redis)
    await take_over(stored)

    claims = await stored.drain()
    await producer.resume(user_id="904")
    claims += await stored.drain()

    for lane, queued in FIRST.queued.items():
        ended = [
            job_id for claim in claims if claim.lane == lane for job_id in (claim.job_id, *dict(claim.coalescable))
        ]
        assert ended == queued
        results = [await producer.job(job_id).result(timeout=0) for job_id in queued]
        assert {result.outcome for result in results} <= {Outcome.APPLIED, Outcome.SUPERSEDED}
    (held,) = [claim for claim in claims if claim.lane == FIRST.held["lane"]]
    assert held.lost_deliveries == 1
    assert (await producer.job("tried").result(timeout=0)).tries == 2
    for batch_id, total in (("july", 12), ("mixed", 3)):
        progress = await producer.batch(batch_id).progress()
        assert (progress.complete, progress.outcomes) == (True, {Outcome.APPLIED: total})
        assert len([result async for result in producer.batch(batch_id).results()]) == total
    assert await stored.uncovered() == set()
    assert await stored.redis.keys(KEYS.job + "*") == []


async def test_results_letters_and_settings_of_the_first_version_are_read(stored: Upgraded) -> None:
    """And its dead letters replayed, its queued changes shown and cancelled."""
    producer = Producer(stored.redis)

    assert (await producer.job("ended-0").result(timeout=0)).applied
    assert (await producer.job("ended-1").result(timeout=0)).code == "40034"
    assert (await producer.user_status("905")).rate_per_s == 2
    assert (await producer.user_status("806")).refused_code == "40037"
    assert [pause.name for pause in await producer.paused()] == ["904"]
    assert (await producer.job("july..105").status()).state is JobState.QUEUED
    assert (await producer.batch("july").cancel()).cancelled == 10
    report = await producer.dead.replay(everything=True)
    assert sorted(old for old, _ in report.replayed) == ["ended-1", "ended-2", "unauthorized"]


@pytest.mark.parametrize("settings", [ProducerSettings(), TRACED], ids=["untraced", "traced"])
async def test_what_is_written_today_is_read_by_the_rules_of_the_first_version(
    valkey: ArqRedis, settings: ProducerSettings
) -> None:
    """Of all that is stored, in every state of a change; and that version's own queue keeps its rules."""
    exported().begin(ALWAYS_ON)
    await _make_every_state(Producer(valkey, settings), Lanes(valkey))

    found = await contents(valkey)

    assert violations(_of_contents(found)) == []
    assert violations(_of_dump(FIRST)) == []
    families = {name.split(":")[1] for name in found if name.startswith("copytrade:")}
    assert families >= {name.split(":")[1] for name, *_ in FIRST.keys if name.startswith("copytrade:")} - {"wakeups"}


async def _make_every_state(producer: Producer, lanes: Lanes) -> None:
    for user, outcome in (("801", Outcome.APPLIED), ("802", Outcome.REJECTED), ("803", Outcome.EXHAUSTED)):
        await producer.enqueue(change(user), job_id=f"ended-{user}")
        await lanes.done(await lanes.claim_one(), outcome, user_id=user)
    await producer.enqueue(change("806"), job_id="unauthorized")
    await lanes.attempt(await lanes.claim_one(), "credentials", code="40037")
    await producer.enqueue(change("902"), job_id="tried")
    await lanes.attempt(await lanes.claim_one(), "transient", code="45001", status=500)
    await producer.enqueue(change("907"), job_id="throttled")
    await lanes.attempt(await lanes.claim_one(), "throttled", code="429", status=429)
    await to_users(producer, users(5), "july", ttl_s=600)
    await lanes.attempt((await lanes.claim(1))[0])
    await producer.fan_out([change("120", value=str(n)) for n in range(3)], batch_id="mixed")
    await producer.enqueue(change("120", "t3"), job_id="added", batch_id="open")
    await lanes.claim(2)
    for number in range(3):
        await producer.enqueue(change("903", value=str(number)), job_id=f"joins-{number}", coalesce=True)
    await producer.enqueue(change("1:2", "a:b"), job_id="escaped")
    await producer.pause(user_id="904")
    await producer.limit_user("905", 2)


def _of_dump(queue: StoredQueue) -> list[tuple[str, str, Parts]]:
    def parts(kind: str, value: Any) -> Parts:
        match kind:
            case "string":
                return [("", value)]
            case "zset":
                return [("", member) for member, _ in value]
            case "hash":
                return [(field, text) for field, text in value]
            case "stream":
                return [(field, text) for _, fields in value for field, text in fields]
            case _:
                return [("", member) for member in value]

    return [(name, kind, parts(kind, value)) for name, kind, _, value in queue.keys]


def _of_contents(found: dict[str, Any]) -> list[tuple[str, str, Parts]]:
    def parts(kind: str, value: Any) -> Parts:
        match kind:
            case "string":
                pairs = [(b"", value)]
            case "zset":
                pairs = [(b"", member) for member in value[::2]]
            case "hash":
                pairs = list(value.items())
            case "stream":
                pairs = [pair for _, fields in value for pair in fields.items()]
            case _:
                pairs = [(b"", member) for member in value]
        return [(field.decode("latin-1"), text.decode("latin-1")) for field, text in pairs]

    return [(name, kind, parts(kind, value)) for name, (kind, value, _) in found.items()]
