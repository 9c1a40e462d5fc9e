"""The workers and the exchange: claims, requests and settlements, each compared with the model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ops.keys import KEYS
from producers import Attempt
from producers.queue.bucket import LOOK_AHEAD_US
from tests.properties import invariants
from tests.properties.arrivals import Request
from tests.properties.model import Held
from tests.properties.world import LATE_FOR_US, Worker, World
from tests.support.manual_clock import START_US
from worker.attempt.decide import blocked_by_rejected_keys, decide, release_unsent, validate_claim
from worker.queue.claims import Claim, EgressHealth, Finish, SentRequest, Settled, Settlement
from worker.queue.renewal import ARRIVES_WITHIN_US

NO_REPLY = ("ambiguous", "aborted")
"""Verdicts on requests whose fate is unknown."""

OF_A_REQUEST = (
    KEYS.bucket, KEYS.egress, KEYS.failures, KEYS.rejected_keys, KEYS.wakeups, KEYS.taken, KEYS.schedule,
    KEYS.bulk_schedule,
)  # fmt: skip
"""Prefixes of what a settlement that is fenced may change."""


class WorldAtWork(World):
    """A world whose workers claim, send and settle."""

    def trust(self, worker: Worker) -> None:
        """Let a worker renew until it trusts its session, as it does before it claims."""
        while not worker.is_trusted:
            self.renew(worker)

    def claim(self, worker: Worker, most: int, *, late: bool = False) -> float | None:
        """Let a worker claim; return after how many seconds more is due. `late`: it sleeps just before it claims."""
        if not late:
            self.trust(worker)
        self.dump = self.do(self.redis.all_there_is())
        probing, session_id = self._probing(worker), worker.session.session_id
        is_alive = session_id in self.model.sessions.rows
        claims = self.do(worker.lanes.claimer.claim(most))
        assert claims.malformed == []
        assert is_alive or claims.claims == [], "a dead session claims nothing"
        self.seen["a claim was refused"] += not is_alive
        assert len(claims.claims) <= probing, "an open breaker lets one probe out at a time"
        for claim in claims.claims:
            request = self._claimed(worker, claim)
            assert (claim.egress_health is EgressHealth.PROBING) == (probing == 1)
            worker.in_hand.append((claim, request))
            self.seen["claimed again after a lost delivery"] += claim.lost_deliveries > 0
            self.seen["probed"] += claim.egress_health is EgressHealth.PROBING
            self.seen["offered to join"] += bool(claim.coalescable)
        self.after()
        return claims.next_due_s

    def _claimed(self, worker: Worker, claim: Claim) -> Request:
        """Put a lane in flight in the model; return its request."""
        slot_us = START_US + round(claim.slot_at_s * 1e6)
        assert claim.lost_deliveries == self.model.lost_deliveries.get(claim.lane, 0)
        offered = [claim.job_id, *(job_id for job_id, _ in claim.coalescable)]
        self.model.claim(claim.lane, offered, Held(claim.session_id, claim.token, claim.job_id))
        self._in_order(claim, slot_us, offered)
        user = claim.lane.partition(":")[0]
        assert self.pins.get(user, worker.egress) == worker.egress, "a pinned user leaves by its egress only"
        request = Request(user, worker.egress, slot_us, self.rates.get(user, 10.0), self.epoch)
        request.lane, request.carried = claim.lane, tuple(offered)
        if self.model.sessions.rows[claim.session_id].epoch == self.epoch:  # else the session's end is not known
            request.applied_until_us = slot_us + LATE_FOR_US
        request.was_made = claim.slot_at_s < worker.session.trusted_until_s(claim.session_id)
        self.requests.append(request)
        return request

    def _in_order(self, claim: Claim, slot_us: int, offered: list[str]) -> None:
        """Check that a request of unknown fate that can still be applied is followed by its repetition only."""
        for earlier in self.requests:
            if earlier.lane != claim.lane or not earlier.was_made or earlier.epoch != self.epoch:
                continue
            if earlier.applied_until_us is not None and earlier.applied_until_us > slot_us:
                again = [job_id for job_id in earlier.carried if job_id in self.model.queued[claim.lane]]
                assert offered == again, "a change waits until a lost one before it cannot be applied"
                self.seen["a request of unknown fate was repeated"] += 1

    def _probing(self, worker: Worker) -> float:
        """Return how many claims the breaker of a worker's egress allows: none, one, or any number."""
        egress = invariants.value(self.dump, KEYS.egress + worker.egress, {})
        if b"openings" not in egress:
            return math.inf
        return int(self.now_us + LOOK_AHEAD_US >= float(egress[b"probe_unaffected_at"]))

    def settle(
        self,
        worker: Worker,
        number: int,
        verdict: str,
        *,
        up_ms: int,
        down_ms: int,
        lag_ms: int,
        renewing: Sequence[Worker] = (),
    ) -> Settled:
        """End a worker's request, or give it up unsent, and settle the claim, while workers renew."""
        claim, request = worker.in_hand.pop(number)
        if not request.was_made:
            verdict = "unsent"
        self.seen[verdict] += 1
        if verdict == "unsent":
            request.was_made = False
            settlement = self._unsent(claim)
        else:
            request.arrived_us = request.slot_us + up_ms * 1000
            ended_us = request.arrived_us + down_ms * 1000
            if verdict == "aborted":  # it may be on its way still
                ended_us = max(request.slot_us, request.arrived_us - ARRIVES_WITHIN_US // 2)
            self.wait_until_us(max(ended_us, self.clock.now_us) + lag_ms * 1000, renewing)
            if verdict == "aborted":
                ended_us = self.clock.now_us
            settlement = self._sent(claim, request, verdict, ended_us)
        self.dump = before = self.do(self.redis.all_there_is())
        settled = self.do(worker.lanes.settler.settle(settlement))
        assert settled.fenced == (not self.model.holds(claim.lane, claim.session_id, claim.token))
        self.seen["fenced"] += settled.fenced
        self.seen["ended in a group"] += settled.finished > 1
        self.seen["spared"] += isinstance(settlement, Finish) and not settled.fenced and not settled.finished
        if settled.fenced:
            self._fenced(claim, before)
        else:
            self._settled(claim, settlement, settled, sent=settlement.request is not None)
        self.after()
        return settled

    def _fingerprint(self, claim: Claim) -> str:
        user = claim.lane.partition(":")[0]
        return f"{user}-{self.keys[user]}"

    def _unsent(self, claim: Claim) -> Settlement:
        ready = validate_claim(claim, claim.redis_ms(self.clock.monotonic()))
        return ready if isinstance(ready, Finish) else release_unsent(claim)

    def _sent(self, claim: Claim, request: Request, verdict: str, ended_us: int) -> Settlement:
        sent_s, ended_s = (request.slot_us - START_US) / 1e6, (ended_us - START_US) / 1e6
        ready = validate_claim(claim, claim.redis_ms(sent_s))
        ended = (
            ready
            if isinstance(ready, Finish)
            else blocked_by_rejected_keys(ready, self._fingerprint(claim), self.now_ms)
        )
        if isinstance(ready, Finish) or ended is not None:
            self.seen["ended by its refused keys"] += not isinstance(ready, Finish)
            request.was_made = False
            return ended or release_unsent(claim)
        attempt = Attempt(
            at_ms=claim.redis_ms(sent_s),
            took_ms=round((ended_s - sent_s) * 1000),
            verdict="ambiguous" if verdict == "aborted" else verdict,
            code="40006" if verdict == "credentials" else None,
        )
        request.applied_until_us = request.slot_us + LATE_FOR_US if verdict in NO_REPLY else None
        took_s = None if verdict in NO_REPLY else ended_s - sent_s
        known_s = ended_s if verdict == "aborted" else sent_s
        sent = SentRequest(
            attempt,
            ended_s,
            took_s,
            self._fingerprint(claim),
            late_until_s=known_s + LATE_FOR_US / 1e6 if verdict in NO_REPLY else 0.0,
            was_aborted=verdict == "aborted",
        )
        return decide(ready, sent, now_ms=claim.redis_ms(ended_s), max_tries=0)

    def _settled(self, claim: Claim, settlement: Settlement, settled: Settled, *, sent: bool) -> None:
        finished = 0
        if settled.finished:
            assert isinstance(settlement, Finish)
            for result in settlement.results:
                if self.model.queued.get(claim.lane, [""])[0] == result.job_id:  # else it was cancelled meanwhile
                    self.model.end(result.job_id, result.outcome.value)
                    finished += 1
        assert settled.finished == finished, "changes end in the order of their lane"
        self.model.release(claim.lane, sent=sent or finished > 0)

    def _fenced(self, claim: Claim, before: invariants.Dump) -> None:
        """Check that a fenced settlement changed only what counts the request, and took its lost delivery off."""
        off = KEYS.taken + claim.session_id in before and self.model.take_lost_delivery_off(
            claim.session_id, claim.lane, claim.token
        )
        self.seen["a lost delivery was taken off"] += off
        may_change = (*OF_A_REQUEST, *([KEYS.attempts + claim.lane] if off else []))
        after = self.do(self.redis.all_there_is())
        for key in before.keys() | after.keys():
            if not key.startswith(may_change):
                assert before.get(key, ("", 0))[0] == after.get(key, ("", 0))[0], f"a fenced settlement changed {key}"

    def lose(self, worker: Worker, *, arrives: bool, late: bool = False) -> None:
        """Let a worker die with its claims, whose requests may still arrive at the exchange; another one starts."""
        self.seen["a worker died"] += bool(worker.in_hand)
        for _, request in worker.in_hand:
            if arrives and request.was_made:
                request.arrived_us = request.slot_us + (ARRIVES_WITHIN_US - 10_000 if late else 30_000)
        self.workers[self.workers.index(worker)] = self.new_worker(worker.egress)
