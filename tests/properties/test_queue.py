"""One random state machine of the whole queue: all scripts, on a real server, beside a model of what they must do.

Every run makes the same examples. `PROPERTY_RUNS` makes more and other ones; a failure prints its steps as Python.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from ops.keys import KEYS
from producers.contract import keyspace
from producers.queue.submit_messages import EMPTY_BATCH_TTL_MS
from tests.properties.invariants import LASTING
from tests.properties.liveness import drain
from tests.properties.strategies import USERS, VERDICTS
from tests.properties.worker_rules import WorkerRules
from tests.support.timed_redis import TimedRedis

STEPS = 40

MAX_TTL_S = 2 * EMPTY_BATCH_TTL_MS // 1000
"""Above every TTL in the queue."""

EVENTS = (
    *VERDICTS, "a worker died", "fenced", "claimed again after a lost delivery", "lanes were taken back",
    "a session was refused", "a claim was refused", "a claim was lost", "a lost claim was given back",
    "a claim came late", "a lost delivery was taken off", "a request of unknown fate was repeated",
    "ended in a group", "ended superseded", "ended cancelled", "ended expired", "ended by its refused keys", "probed",
    "spared", "replayed", "a batch was complete", "a user was pinned while it had a request in flight",
)  # fmt: skip


class Queue(WorkerRules):
    """All steps, and the end: the queue is drained, and nothing is left of it."""

    def teardown(self) -> None:
        """Drain the queue; check that every change has one outcome and that no key is left."""
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
        self.world.pin(dict.fromkeys(USERS))
        self.wait(MAX_TTL_S)
        assert {key for key in self.world.dump if not key.startswith(KEYS.dead_letters)} <= LASTING - {
            KEYS.paused,
            KEYS.rates,
            KEYS.pins,
            KEYS.pinned,
        }


def _scope(kind: str, name: str) -> dict[str, str]:
    return {"egress" if kind == "egress" else f"{kind}_id": name}


def test_the_queue_keeps_its_invariants_whatever_the_order_of_events(
    timed_redis: TimedRedis, loop: asyncio.AbstractEventLoop
) -> None:
    """Covered, paced, ordered, fenced, one result each, bounded: checked after every step."""
    seen: Counter[str] = Counter()
    queue = type("Queue", (Queue,), {"redis": timed_redis, "loop": loop, "seen": seen})

    run_state_machine_as_test(queue, settings=settings(stateful_step_count=STEPS))

    assert [event for event in EVENTS if not seen[event]] == [], "these events did not occur, so they were not tested"
