"""A simulated worker process: renews its session, claims, sends, settles, as the worker's own code does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from producers.queue.parts import BEATS_PER_TTL
from producers.transport.script_messages import decode, encode
from tests.simulation.world import MS, REQUEST_TIMEOUT_US, S, World
from worker.queue.claim import CLAIM
from worker.queue.claim_messages import ClaimReply, ClaimRequest, ClaimRow
from worker.queue.rate import Pacing
from worker.queue.renewal import ARRIVES_WITHIN_US, RENEW, RenewReply, RenewRequest
from worker.queue.session import TRUSTED_SHARE
from worker.queue.settle import SETTLE
from worker.queue.settlement_rows import EndingRow, SettleAction, SettlementRow, SettleReply, SettleRequest

PACING = Pacing.from_rates(user_rate_per_s=10, egress_rate_per_s=200, margin_percent=0.2)
TTL_US = 2 * S
BEAT_US = TTL_US // BEATS_PER_TTL
LIMIT = 8
IDLE_US, RETRY_US = 1 * S, 200 * MS


@dataclass(eq=False)
class Attempt:
    """An attempt of a worker: `sent_us` is None before its request is sent; `is_over` after it has ended."""

    session: str
    row: ClaimRow
    sent_us: int | None = None
    is_over: bool = False


class Worker:
    """One worker process. Stopped (SIGSTOP), it does nothing until it goes on; killed, it does nothing any more."""

    def __init__(self, world: World, name: str, egress: str, number_of: Callable[[str], int]) -> None:
        self.world, self.name, self.egress, self.number_of = world, name, egress, number_of
        self.is_alive = True
        self.stopped_until_us = 0
        self.max_lost = self.sessions = 0
        self._attempts: set[Attempt] = set()
        self._is_claiming = False
        self._new_session()
        self._later(0, self._renew)
        self._later(5 * MS, self.claim)

    def _new_session(self) -> None:
        self.sessions += 1
        self.session = f"{self.name}{self.sessions}"
        self._is_open, self._trusted_until_us = False, 0
        self._claims, self._lost_claims = 0, list[int]()

    def _as_process(self, action: Callable[..., None]) -> Callable[..., None]:
        """Return an action that happens when the process runs, and not at all if it was killed."""

        def act(*args: Any) -> None:
            if not self.is_alive:
                return
            if self.world.now_us < self.stopped_until_us:
                self.world.at(self.stopped_until_us, lambda: act(*args))
            else:
                action(*args)

        return act

    def _later(self, delay_us: int, action: Callable[[], None]) -> None:
        self.world.after(delay_us, self._as_process(action))

    def kill(self) -> None:
        """End the process; requests under way still arrive."""
        self.is_alive = False

    def stop(self, seconds: float) -> None:
        """Stop the process for a while."""
        self.stopped_until_us = self.world.now_us + round(seconds * S)

    def _is_trusted(self, session: str) -> bool:
        return session == self.session and self.world.now_us < self._trusted_until_us

    def _renew(self) -> None:
        asked_us, session, lost = self.world.now_us, self.session, sorted(self._lost_claims)
        request = RenewRequest(
            session=session,
            opens=int(not self._is_open),
            closes=0,
            ttl_ms=TTL_US // MS,
            late_for_ms=REQUEST_TIMEOUT_US // MS,
            refused_claims=max(lost, default=0),
            lost_claims=lost,
            settled_claims=min(self._unsettled(), default=self._claims + 1) - 1,
            in_flight=len(self._attempts),
            egress=self.egress,
            egress_pace=PACING.egress_pace_us,
            looks=1,
        )

        def renewed(packed: bytes) -> None:
            reply = decode(RenewReply, packed)
            if session != self.session:
                self._later(0, self._renew)
            elif not reply.is_alive:
                self._new_session()
                self._abort()
                self._later(0, self._renew)
            else:
                self._is_open = True
                self._lost_claims = [number for number in self._lost_claims if number not in lost]
                self._trusted_until_us = asked_us + round(TRUSTED_SHARE * TTL_US)
                self._later(self._trusted_until_us - self.world.now_us, self._abort)
                self._later(0 if reply.has_more else BEAT_US, self._renew)

        retry = self._as_process(lambda: self._later(RETRY_US, self._renew))
        self.world.call(RENEW, [encode(request)], self._as_process(renewed), retry)

    def _unsettled(self) -> set[int]:
        """Return the numbers of the claims that are under way, or have an attempt that is."""
        attempts = [attempt for attempt in self._attempts if attempt.session == self.session]
        numbers = {int(attempt.row.token.partition(".")[0]) for attempt in attempts}
        return numbers | ({self._claims} if self._is_claiming else set())

    def _abort(self) -> None:
        """Give up the requests of a session that is not trusted any more."""
        for attempt in list(self._attempts):
            if attempt.sent_us is not None and not self._is_trusted(attempt.session):
                self._end(attempt, got_reply=False, round_trip_us=0)

    def claim(self) -> None:
        """Claim, unless a claim is under way or the session is not trusted."""
        if self._is_claiming or not self.is_alive:
            return
        if not self._is_trusted(self.session):
            self._later(RETRY_US, self.claim)
            return
        self._is_claiming = True
        self._claims += 1
        session, number = self.session, self._claims
        request = ClaimRequest(
            session=session,
            number=number,
            egress=self.egress,
            limit=LIMIT,
            pace=PACING.pace_us,
            per_window=PACING.per_window,
            window=PACING.window_us,
            catch_up=PACING.catch_up_us,
            margin_ppm=PACING.margin_ppm,
            egress_pace=PACING.egress_pace_us,
            egress_burst=PACING.egress_burst_us,
            probe_lease=8 * S,
        )

        def claimed(elements: list[bytes]) -> None:
            self._is_claiming = False
            reply = decode(ClaimReply, elements[0])
            if reply.is_refused and session == self.session:
                self._trusted_until_us = 0
            for row in reply.rows:
                attempt = Attempt(session, row)
                self._attempts.add(attempt)
                self.max_lost = max(self.max_lost, row.lost_deliveries)
                self._later(max(0, row.wait_us), lambda attempt=attempt: self._send(attempt))  # type: ignore[misc]
            due_us = IDLE_US if reply.next_due_us < 0 else min(IDLE_US, reply.next_due_us)
            self._later(max(due_us, MS), self.claim)

        def failed() -> None:
            self._is_claiming = False
            if session == self.session:
                self._lost_claims.append(number)
            self._later(RETRY_US, self.claim)

        self.world.call(CLAIM, [encode(request)], self._as_process(claimed), self._as_process(failed))

    def _send(self, attempt: Attempt) -> None:
        if not self._is_trusted(attempt.session):
            self._settle(attempt, SettleAction.REQUEUE, sent=False)
            return
        attempt.sent_us = self.world.now_us

        def ended(got_reply: bool, round_trip_us: int) -> None:
            self._end(attempt, got_reply=got_reply, round_trip_us=round_trip_us)

        self.world.request(attempt.row.lane, self.number_of(attempt.row.job_id), self._as_process(ended))

    def _end(self, attempt: Attempt, *, got_reply: bool, round_trip_us: int) -> None:
        if attempt.is_over:
            return
        attempt.is_over = True
        action = SettleAction.FINISH if got_reply else SettleAction.REQUEUE
        self._settle(attempt, action, sent=True, round_trip_us=round_trip_us)

    def _settle(self, attempt: Attempt, action: SettleAction, *, sent: bool, round_trip_us: int = 0) -> None:
        ended_us, row = self.world.now_us, attempt.row
        got_reply = action is SettleAction.FINISH
        late_until_us = (attempt.sent_us or 0) + REQUEST_TIMEOUT_US
        retry = self._as_process(lambda: self._later(RETRY_US, write))

        def write() -> None:
            now_us = self.world.now_us
            settlement = SettlementRow(
                lane=row.lane,
                job_id=row.job_id,
                token=row.token,
                slot_number=row.slot_number,
                reply_age=now_us - ended_us if sent else -1,
                round_trip=round_trip_us if got_reply else -1,
                arrives_within=0 if got_reply else ARRIVES_WITHIN_US,
                failure_kind="failing" if sent and not got_reply else "",
                is_explained=0,
                is_egress_fault=0,
                retry_after_ms=0,
                steady_for=S,
                rejected_keys_mark="",
                late_for=max(0, late_until_us - now_us) if sent and not got_reply else 0,
                action=action,
                history=1 if action is SettleAction.REQUEUE else 0,
                requeue_history=0,
                delay_ms=0,
                hold_ms=0,
                one_by_one=0,
                waits_for="",
                endings=[EndingRow(row.job_id, "applied", 1, 0)] if got_reply else [],
            )
            request = SettleRequest(
                session=attempt.session,
                egress=self.egress,
                egress_pace=PACING.egress_pace_us,
                max_throttled_pause_ms=1000,
                result_ttl_ms=600_000,
                dead_letter_ttl_ms=600_000,
                reckoned_now=now_us,
                settlements=[settlement],
            )
            self.world.call(SETTLE, [encode(request), b"bytes"], self._as_process(settled), retry)

        def settled(packed: bytes) -> None:
            self._attempts.discard(attempt)
            due_us = decode(SettleReply, packed).next_due_us
            if due_us >= 0:
                self._later(due_us, self.claim)

        write()
