"""The producers' steps: they submit changes and batches, use a job ID again, replay, and read batches."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ops.keys import KEYS
from producers import Priority, SettingsChange
from producers.contract import keyspace
from producers.contract.codec import change_digest
from producers.queue.batches import seal
from producers.queue.submit import Submission, SubmitOptions, TemplateRun, submit
from producers.transport.runner import run_plan
from tests.properties import invariants
from tests.properties.lost_claims import WorldWithLostClaims
from tests.properties.model import LANE_LIMIT, Batch
from tests.properties.strategies import (
    BATCHES,
    FAN_OUT,
    OTHER_BATCHES,
    USERS,
    a_change,
    a_template,
    a_ttl_ms,
    content_of,
    some_changes,
    to_everybody,
)
from tests.properties.world import RESULT_TTL_S
from tests.support.fan_outs import where_consistent
from tests.support.timed_redis import TimedRedis


class ProducerRules(RuleBasedStateMachine):
    """A queue that producers submit to."""

    redis: TimedRedis
    loop: asyncio.AbstractEventLoop
    seen: Counter[str]

    @initialize(changes=some_changes, bulk=st.booleans(), coalesce=st.booleans())
    def begin(self, changes: list[SettingsChange], *, bulk: bool, coalesce: bool) -> None:
        """Start with a few queued changes."""
        self.world = WorldWithLostClaims(self.redis, self.loop, self.seen)
        self.model = self.world.model
        self.known: list[str] = []
        self.enqueue(changes, bulk=bulk, coalesce=coalesce, ttl=3_600_000)

    def _submit(self, changes: list[tuple[str, SettingsChange]], options: SubmitOptions, ttl_ms: int) -> list[int]:
        world = self.world
        some = [
            Submission.from_change(one, job_id, options, now_ms=world.now_ms, ttl_ms=ttl_ms) for job_id, one in changes
        ]
        call = submit(some, options)
        reply: list[int] = world.do(call.script.run(self.redis, KEYS, call.args))
        return reply[1:]

    @rule(changes=some_changes, bulk=st.booleans(), coalesce=st.booleans(), ttl=a_ttl_ms)
    def enqueue(self, changes: list[SettingsChange], *, bulk: bool, coalesce: bool, ttl: int) -> None:
        """Submit changes that belong to no batch."""
        named = [(f"j{next(self.world.numbers)}", change) for change in changes]
        self._enqueue(named, bulk=bulk, coalesce=coalesce, ttl_ms=ttl)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), change=a_change, bulk=st.booleans())
    def enqueue_again(self, data: st.DataObject, change: SettingsChange, *, bulk: bool) -> None:
        """Submit a change under a job ID that was used before."""
        self._enqueue([(data.draw(st.sampled_from(self.known)), change)], bulk=bulk, coalesce=False, ttl_ms=60_000)

    def _enqueue(self, named: list[tuple[str, SettingsChange]], *, bulk: bool, coalesce: bool, ttl_ms: int) -> None:
        expected = []
        for job_id, change in named:
            known = job_id in self.model.lane_of or KEYS.result + job_id in self.world.dump
            lane = keyspace.lane(change.user_id, change.trader_id)
            expected.append(self.model.submit(lane, job_id, change_digest(change), bulk=bulk, known=known))
            if job_id not in self.known:
                self.known.append(job_id)
        options = SubmitOptions(LANE_LIMIT, Priority.BULK if bulk else Priority.INTERACTIVE, coalesce)
        assert self._submit(named, options, ttl_ms) == expected
        self.world.after()

    @rule(
        batch_id=st.sampled_from(OTHER_BATCHES),
        chunk=st.lists(st.tuples(st.integers(0, 12), a_change), min_size=1, max_size=5)
        | st.builds(to_everybody, a_change),
        bulk=st.booleans(),
        coalesce=st.booleans(),
        ttl=a_ttl_ms,
    )
    def add_to_batch(
        self, batch_id: str, chunk: list[tuple[int, SettingsChange]], *, bulk: bool, coalesce: bool, ttl: int
    ) -> None:
        """Submit a chunk of a batch, some of whose items may be there already."""
        named = [(f"{batch_id}..{number}", change) for number, change in chunk]
        rows = [
            (keyspace.lane(change.user_id, change.trader_id), job_id, change_digest(change)) for job_id, change in named
        ]
        ended = [job_id for job_id, _ in named if KEYS.result + job_id in self.world.dump]
        expected = self.model.submit_to_batch(batch_id, rows, bulk=bulk, ended=ended)
        priority = Priority.BULK if bulk else Priority.INTERACTIVE
        assert self._submit(named, SubmitOptions(LANE_LIMIT, priority, coalesce, batch_id, "changes"), ttl) == expected
        self.world.after()

    @rule(
        users=st.lists(st.sampled_from(USERS), min_size=1, unique=True),
        bulk=st.booleans(),
        coalesce=st.booleans(),
        ttl=a_ttl_ms,
    )
    def fan_out(self, users: list[str], *, bulk: bool, coalesce: bool, ttl: int) -> None:
        """Run a fan-out of a template, perhaps once more and with other options."""
        template = a_template()
        some = [
            Submission(f"{FAN_OUT}..{user}", keyspace.escape(user), keyspace.escape(template.trader_id), None)
            for user in users
        ]
        rows = [(submission.lane, submission.job_id, "") for submission in some]
        expected = self.model.submit_to_batch(FAN_OUT, rows, bulk=bulk)
        priority = Priority.BULK if bulk else Priority.INTERACTIVE
        options = SubmitOptions(LANE_LIMIT, priority, coalesce, FAN_OUT, content_of(FAN_OUT))
        run = TemplateRun.from_change(template, options, now_ms=self.world.now_ms, ttl_ms=ttl)
        call = submit(some, options, run=run)
        assert self.world.do(call.script.run(self.redis, KEYS, call.args))[1:] == expected
        self.world.after()

    @precondition(lambda self: self.model.batches)
    @rule(data=st.data(), lane_full_count=st.integers(0, 1))
    def seal(self, data: st.DataObject, lane_full_count: int) -> None:
        """Seal a batch: its producer has no more items."""
        batch_id = data.draw(st.sampled_from(BATCHES))
        batch = self.model.batches.setdefault(batch_id, Batch())
        batch.is_sealed, batch.has_full_lanes = True, lane_full_count > 0
        options = SubmitOptions(LANE_LIMIT, batch_id=batch_id, content=content_of(batch_id))
        sealing = seal(batch_id, options, lane_full_count=lane_full_count, result_ttl_ms=RESULT_TTL_S * 1000)
        self.world.do(run_plan(self.redis, sealing, "sealing"))
        self.world.after()

    @precondition(lambda self: bool(invariants.named(self.world.dump, KEYS.dead_letter)))
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """Replay dead letters."""
        world, chosen = (
            self.world,
            data.draw(
                st.sampled_from([{"everything": True}, {"batch_id": "x"}, {"batch_id": FAN_OUT}, {"user_id": "1"}])
            ),
        )
        letters = {letter.job_id: letter for letter in world.do(self._letters())}
        report = world.do(world.producer.dead.replay(**chosen))  # type: ignore[arg-type]
        world.seen["replayed"] += len(report.replayed)
        for old, new in report.replayed:
            change = letters[old].change
            assert change is not None
            lane = keyspace.lane(change.user_id, change.trader_id)
            known = new in self.model.lane_of or KEYS.result + new in world.dump
            assert self.model.submit(lane, new, change_digest(change), bulk=True, known=known) > 0
        world.after()
        assert not {KEYS.dead_letter + old for old, _ in report.replayed} & world.dump.keys()

    @precondition(lambda self: self.model.batches)
    @rule(data=st.data())
    def read_batch(self, data: st.DataObject) -> None:
        """Read a batch as an app does; its progress and its page say what the model says."""
        world, batch_id = self.world, data.draw(st.sampled_from(sorted(self.model.batches)))
        expected, batch = self.model.batches[batch_id], world.producer.batch(batch_id)
        progress = world.do(where_consistent(batch))
        assert (progress.total, progress.ended) == (len(expected.members), len(expected.ended))
        assert progress.outcomes == expected.outcomes
        assert progress.complete == expected.is_complete
        page = world.do(batch.page(limit=1_000))
        assert [result.job_id for result in page.results] == list(expected.ended)  # also after a result has expired
        assert page.complete == expected.is_complete

    async def _letters(self) -> list[Any]:
        return [letter async for letter in self.world.producer.dead.list()]
