"""How changes end although a key that many changes share has a wrong type: an operator's accident."""

from __future__ import annotations

import pytest

from ops.keys import KEYS
from producers import Outcome, Producer
from tests.support.changes import change
from tests.support.fan_outs import to_users
from tests.support.lanes import Lanes

BATCH_KEYS = (
    KEYS.batch + "b",
    KEYS.batch_results + "b",
    KEYS.batch_members + "b",
    KEYS.counts,
    KEYS.dead_letters + Outcome.REJECTED,
)


@pytest.mark.parametrize("outcome", [Outcome.APPLIED, Outcome.REJECTED])
@pytest.mark.parametrize("when", ["queued", "in flight"])
@pytest.mark.parametrize("name", BATCH_KEYS)
async def test_a_change_ends_once_although_a_shared_key_has_a_wrong_type(
    producer: Producer, lanes: Lanes, name: str, when: str, outcome: Outcome
) -> None:
    """Before its claim and in flight; its lane goes on."""
    await to_users(producer, ["1001"])
    await producer.enqueue(change(), job_id="behind")
    claim = await lanes.claim_one() if when == "in flight" else None
    await lanes.redis.set(name, "nonsense")
    claim = claim or await lanes.claim_one()

    settled = await lanes.done(claim, outcome)

    assert (settled.fenced, settled.finished) == (False, 1)
    assert (await producer.job("b..1001").result(timeout=0)).outcome is outcome
    assert await lanes.uncovered() == set()
    assert (await lanes.claim_one()).job_id == "behind"
