"""Claims whose replies are lost, or that reach Redis late."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from ops.keys import KEYS
from tests.properties import invariants
from tests.properties.arrivals import Request
from tests.properties.at_work import WorldAtWork
from tests.properties.model import Held
from tests.properties.world import Worker


class WorldWithLostClaims(WorldAtWork):
    """The queue under test and everything around it."""

    def lose_claim(self, worker: Worker, most: int, *, late: bool) -> None:
        """Let a worker claim, and lose the reply, or delay the claim itself."""
        self.trust(worker)
        self.redis.next_script = "late" if late else "lost"
        with pytest.raises(RedisConnectionError):
            self.do(worker.lanes.claimer.claim(most))
        if late:
            row = self.model.sessions.rows[worker.session.session_id]
            self.delayed = worker, worker.session.session_id, row.renewals
        else:
            self._held_unknown(worker, worker.session.session_id)
        self.after()

    def deliver(self) -> None:
        """Let the delayed claim reach Redis: it is refused if a renewal has named it as lost."""
        assert self.delayed is not None
        (worker, session_id, renewals), self.delayed = self.delayed, None
        row, command = self.model.sessions.rows.get(session_id), self.redis.delayed
        assert command is not None
        try:
            self.do(self.redis.execute_command(*command))
        except NoScriptError:
            return
        before = len(self.model.held)
        self._held_unknown(worker, session_id)
        is_refused = row is None or row.renewals > renewals
        self.seen["a claim came late"] += is_refused
        assert not is_refused or len(self.model.held) == before, "a claim that was given up claims nothing"
        self.after()

    def _held_unknown(self, worker: Worker, session_id: str) -> None:
        """Put in flight in the model what a session holds without its worker's knowing."""
        self.dump = self.do(self.redis.all_there_is())
        for lane, held in sorted(invariants.value(self.dump, KEYS.held + session_id, {}).items()):
            name, (token, slot_us, _) = lane.decode(), held.decode().split()
            if not self.model.holds(name, session_id, token):
                head = self.model.queued[name][0]
                self.model.claim(name, [head], Held(session_id, token, head, is_lost=True))
                user = name.partition(":")[0]
                steady_us = int(slot_us) - self.step_us
                unsent = Request(user, worker.egress, steady_us, self.rates.get(user, 10.0), self.epoch)
                unsent.was_made = False
                self.requests.append(unsent)
                self.seen["a claim was lost"] += 1
