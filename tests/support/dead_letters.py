"""Dead letters: how tests make, list and send them."""

from __future__ import annotations

from producers import Outcome, Producer
from producers.contract import keyspace
from tests.support.changes import TRADER, change, numbered
from tests.support.fan_outs import to_users
from tests.support.lanes import Lanes

LANE = keyspace.lane("1001", TRADER)
REJECTED, UNAUTHORIZED, EXHAUSTED = Outcome.REJECTED, Outcome.UNAUTHORIZED, Outcome.EXHAUSTED


async def listed(producer: Producer, **chosen: str) -> list[str]:
    """Return the job IDs of dead letters, oldest first."""
    return [letter.job_id async for letter in producer.dead.list(**chosen)]  # type: ignore[arg-type]


async def some_dead(producer: Producer, lanes: Lanes) -> None:
    """Make seven letters: two users, three outcomes, one batch."""
    await producer.enqueue_many(numbered(3), job_id=lambda each: f"a{each.settings[0].trace_value}")
    await producer.enqueue(change("1002"), job_id="b")
    await to_users(producer, ["1001", "1002", "1003"], "july")
    outcomes = {"a1": REJECTED, "a2": EXHAUSTED, "a3": Outcome.APPLIED, "b": UNAUTHORIZED}
    while claims := await lanes.claim(1):
        await lanes.done(claims[0], outcomes.get(claims[0].job_id, REJECTED))


async def sent_values(lanes: Lanes) -> list[str]:
    """Send all that is queued; return the trace values in the order of sending."""
    found = []
    async for claim in lanes.heads():
        found.append(str(claim.stored.content).partition("traceValue\\xa1")[2][:1])
        await lanes.done(claim)
    return found
