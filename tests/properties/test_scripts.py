"""The scripts as a state machine, on a real server, beside a model: whoever does what, in whatever order."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from producers.contract import keyspace
from producers.queue.submit import EMPTY_BATCH_TTL_MS
from tests.properties.invariants import LASTING
from tests.properties.patience import drain
from tests.properties.strategies import USERS
from tests.properties.working import Working
from tests.support.timed_redis import TimedRedis

STEPS = 40

LONGEST_LIFE_S = 2 * EMPTY_BATCH_TTL_MS // 1000
"""Of whatever has a life."""

EVENTS = (
    "fenced", "claimed again after a lapsed lease", "renewed", "not renewed", "ended in a group", "ended superseded",
    "ended cancelled", "ended expired", "ended by its refused keys", "probed", "spared", "replayed",
    "a batch was complete",
)  # fmt: skip


class Queue(Working):
    """In the end, what is left ends, and nothing else remains."""

    def teardown(self) -> None:
        """What is left ends; nothing else remains."""
        if hasattr(self, "world"):
            try:
                self._finish()
            finally:
                self.world.close()

    def _finish(self) -> None:
        for pause in self.world.do(self.world.producer.paused()):
            self.pause(
                {"everything": True} if pause.kind == "everything" else _scope(pause.kind, pause.name), back=True
            )
        for user in USERS:
            if keyspace.escape(user) in self.world.rates:
                self.limit_user(user, None)
        drain(self.world)
        self.world.check_pace()
        assert self.model.ended == self.model.accepted
        self.wait(LONGEST_LIFE_S)
        assert {key for key in self.world.dump if not key.startswith(keyspace.DEAD)} <= LASTING - {
            keyspace.PAUSED,
            keyspace.RATES,
        }


def _scope(kind: str, name: str) -> dict[str, str]:
    return {"egress" if kind == "egress" else f"{kind}_id": name}


def test_invariants_hold_whatever_is_done_in_whatever_order(
    timed_redis: TimedRedis, loop: asyncio.AbstractEventLoop
) -> None:
    """Covered, paced, ordered, fenced, one result each, bounded: after every step."""
    seen: Counter[str] = Counter()
    queue = type("Queue", (Queue,), {"redis": timed_redis, "loop": loop, "seen": seen})

    run_state_machine_as_test(queue, settings=settings(stateful_step_count=STEPS))

    assert [event for event in EVENTS if not seen[event]] == [], "what did not occur was not tested"
