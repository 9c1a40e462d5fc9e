"""The operators' steps: they cancel, pause, limit users and replace keys."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from ops.keys import KEYS
from producers.contract import keyspace
from producers.errors import BatchNotFound
from producers.queue.cancel import Cancellation
from tests.properties import invariants
from tests.properties.producer_rules import ProducerRules
from tests.properties.strategies import BATCHES, USERS, a_scope
from tests.properties.world import EGRESSES


class OperatorRules(ProducerRules):
    """The producers' steps, and the operators'."""

    @precondition(lambda self: self.known)
    @rule(data=st.data(), what=st.sampled_from(("change", "change", "change", "user", "batch")))
    def cancel(self, data: st.DataObject, what: str) -> None:
        """Cancel a change, all of a user, or a batch."""
        match what:
            case "change":
                self._cancel(data.draw(st.sampled_from(self.known)))
            case "user":
                self._cancel_user(data.draw(st.sampled_from(USERS)))
            case "batch":
                self._cancel_batch(data.draw(st.sampled_from(BATCHES)))
        self.world.after()

    def _cancel(self, job_id: str) -> None:
        was_queued = job_id in self.model.lane_of
        found = self.world.do(self.world.producer.job(job_id).cancel())
        self._cancelled([job_id], found)
        if not was_queued:
            has_result = KEYS.result + job_id in self.world.dump
            assert found is (Cancellation.ENDED if has_result else Cancellation.NOT_FOUND)

    def _cancel_user(self, user: str) -> None:
        of_user = [job_id for job_id, lane in self.model.lane_of.items() if keyspace.user_and_trader(lane)[0] == user]
        report = self.world.do(self.world.producer.cancel_user(user))
        assert report.cancelled + report.in_flight == len(of_user)
        self._cancelled(of_user)

    def _cancel_batch(self, batch_id: str) -> None:
        try:
            self.world.do(self.world.producer.batch(batch_id).cancel())
        except BatchNotFound:
            assert batch_id not in self.model.batches
            return
        batch = self.model.batches[batch_id]
        if not batch.is_complete or batch.has_full_lanes:
            batch.is_sealed = batch.is_cancelled = True
        self._cancelled([job_id for job_id in self.model.lane_of if job_id in batch.members])

    def _cancelled(self, job_ids: list[str], found: Cancellation | None = None) -> None:
        """End in the model what is queued and not in flight."""
        for job_id in job_ids:
            if job_id in self.model.lane_of:
                in_flight = self.model.is_in_flight(job_id)
                assert found is None or found is (Cancellation.IN_FLIGHT if in_flight else Cancellation.CANCELLED)
                if not in_flight:
                    self.model.end(job_id, "cancelled")

    @rule(scope=a_scope, back=st.booleans())
    def pause(self, scope: dict[str, Any], *, back: bool) -> None:
        """Pause a scope, or resume it."""
        self.world.do(self.world.producer.resume(**scope) if back else self.world.producer.pause(**scope))
        self.world.after()

    @rule(user=st.sampled_from(USERS), rate=st.sampled_from((None, 0.1, 0.5, 2.5, 20)))
    def limit_user(self, user: str, rate: float | None) -> None:
        """Give a user a rate of its own, or the workers' rate again."""
        self.world.do(self.world.producer.limit_user(user, rate))
        self.world.rates[keyspace.escape(user)] = rate or 10.0
        self.world.after()

    @rule(pins=st.dictionaries(st.sampled_from(USERS), st.sampled_from((None, *EGRESSES)), min_size=1))
    def pin_users(self, pins: dict[str, str | None]) -> None:
        """Pin users to egresses, or unpin them."""
        self.world.pin(pins)

    @precondition(lambda self: KEYS.rejected_keys in self.world.dump)
    @rule(data=st.data())
    def replace_keys(self, data: st.DataObject) -> None:
        """Give a user whose keys were refused other keys."""
        refused = sorted(user.decode() for user in invariants.value(self.world.dump, KEYS.rejected_keys, {}))
        self.world.keys[data.draw(st.sampled_from(refused))] += 1
