"""Sessions and what may go wrong around them: very many lanes, keys of a wrong type, replies that cannot be read."""

from __future__ import annotations

import pytest

from ops.keys import KEYS
from producers.contract import keyspace
from producers.queue.parts import BEATS_PER_TTL
from tests.support.changes import change
from tests.support.lanes import BEAT_S, Lanes
from tests.support.manual_clock import ManualClock
from worker.queue.renewal import CHUNK_SIZE

LANE = keyspace.lane("1001", "t1")


async def test_a_dead_session_with_very_many_lanes_is_taken_back_whole(served: Lanes, clock: ManualClock) -> None:
    """Redis pages a large hash by its buckets, and pages of what was removed are empty."""
    many = 1200
    await served.submit(*((f"j{n}", change(str(n))) for n in range(many)))
    lost = [claim for _ in range(10) for claim in await served.claim(200)]
    assert len(lost) == many
    other = await served.new_session()
    for _ in range(BEATS_PER_TTL + 1):
        clock.advance(BEAT_S)
        await served.redis.set_time(clock.now_us)  # type: ignore[attr-defined]
        for _ in range(many // CHUNK_SIZE + 2):
            await other.renew()

    assert not await served.redis.exists(KEYS.held + lost[0].session_id)
    assert not await served.redis.hexists(KEYS.sessions, lost[0].session_id)  # type: ignore[misc]
    assert await served.uncovered() == set()


async def test_a_key_of_a_wrong_type_does_not_end_the_renewals(served: Lanes, clock: ManualClock) -> None:
    """The lanes of the dead session are taken back all the same."""
    await served.submit(("j1", change("1")), ("j2", change("2")))
    lost = await served.claim()
    await served.redis.set(KEYS.attempts + lost[0].lane, "oops")
    other = await served.new_session()
    for _ in range(BEATS_PER_TTL + 1):
        clock.advance(BEAT_S)
        await served.redis.set_time(clock.now_us)  # type: ignore[attr-defined]
        while await other.renew():
            pass
    served.claimer = served.new_claimer()

    assert "j2" in {claim.job_id for claim in await served.claim()}
    assert not await served.redis.hexists(KEYS.sessions, lost[0].session_id)  # type: ignore[misc]


async def test_a_claim_whose_reply_cannot_be_read_is_given_back(timed: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next renewal names it."""
    await timed.submit(("j1", change()))
    with monkeypatch.context() as patch:
        patch.setattr("worker.queue.claim.decode", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await timed.claim()

    await timed.claimer.session.renew()

    assert [claim.job_id for claim in await timed.claim()] == ["j1"]
