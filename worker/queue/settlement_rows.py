"""Settlements as the settle script is given them: its messages, and their rows. No I/O."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from producers.contract import keyspace
from producers.contract.codec import encode_result
from producers.contract.templates import payload_of_template
from producers.queue.bucket import US_PER_S
from producers.queue.finish import DEAD_OUTCOMES
from producers.transport.script_messages import Message
from worker.queue.claims import Finish, Requeue, Settlement
from worker.queue.renewal import ARRIVES_WITHIN_US

ABSENT = -1
"""A number of settle.lua that has no value: no reply came, or nothing was sent."""

CLEAR_MARK = "-"
"""The argument of settle.lua that removes a user's rejected-keys mark; "" changes nothing."""


class SettleAction(StrEnum):
    """What to do with the lane. Shared with settle.lua."""

    FINISH = "finish"
    REQUEUE = "requeue"


class Written(IntEnum):
    """What became of a settlement. Shared with settle.lua."""

    FENCED = 0
    WRITTEN = 1
    FAILED = 2
    """A key of the lane cannot be written: it has a wrong type."""


class EndingRow(Message):
    """A change that ends; `result` and `payload` are numbers of further arguments, 0 for none."""

    job_id: str
    outcome: str
    result: int
    payload: int


class SettlementRow(Message):
    """A settlement.

    Attributes:
        lane: name of the lane.
        job_id: the head.
        token: the claim's.
        slot_number: the claim's.
        reply_age: us since the reply or the failure; -1 if nothing was sent.
        round_trip: us; -1 if no reply came.
        arrives_within: us after its failure within which a request of unknown fate may still arrive.
        failure_kind: see breaker.lua; "" for none.
        is_explained: 1 if the failure is explained by the user alone.
        is_egress_fault: 1 if it is the egress's, whoever its users are.
        retry_after_ms: what the exchange's Retry-After asks for; 0 for nothing.
        steady_for: for how many us nobody has set Redis's clock.
        rejected_keys_mark: the user's new mark, CLEAR_MARK to remove it, "" to leave it.
        late_for: us for which the request may still be applied although its fate is unknown; 0 if it is known.
        action: a `SettleAction`.
        history: number of the history to keep; 0 for none.
        requeue_history: of a FINISH: number of the history to requeue with if the egress is at fault; 0 to end anyway.
        delay_ms: of a REQUEUE.
        hold_ms: hold of the user.
        one_by_one: of a REQUEUE: 1 if the changes that were claimed together are to be sent alone.
        waits_for: of a REQUEUE: what the lane waits for, for whoever asks; "" for nothing in particular.
        endings: of a FINISH: the head and each change sent with it.
    """

    lane: str
    job_id: str
    token: str
    slot_number: int
    reply_age: int
    round_trip: int
    arrives_within: int
    failure_kind: str
    is_explained: int
    is_egress_fault: int
    retry_after_ms: int
    steady_for: int
    rejected_keys_mark: str
    late_for: int
    action: str
    history: int
    requeue_history: int
    delay_ms: int
    hold_ms: int
    one_by_one: int
    waits_for: str
    endings: list[EndingRow]


class SettleRequest(Message):
    """What settle.lua is given: settlements of one session.

    Attributes:
        session: the session.
        egress: name of the worker's egress, escaped.
        egress_pace: us a request.
        max_throttled_pause_ms: the longest pause of a throttled egress.
        result_ttl_ms: TTL of results.
        dead_letter_ttl_ms: TTL of dead letters.
        reckoned_now: Redis's time as the worker reckons it, Unix us.
        settlements: the settlements.
    """

    session: str
    egress: str
    egress_pace: int
    max_throttled_pause_ms: int
    result_ttl_ms: int
    dead_letter_ttl_ms: int
    reckoned_now: int
    settlements: list[SettlementRow]


class SettledRow(Message):
    """What was done; `written` is a `Written`, `again_us` the us until the head can be attempted again."""

    written: int
    finished: int
    breaker_event: int
    again_us: int
    error: str


class SettleReply(Message):
    """What settle.lua replies; `next_due_us`: us until the earliest user that it scheduled is due, -1 for none."""

    rows: list[SettledRow]
    next_due_us: int


class EncodedSettlement:
    """A settlement whose results are encoded.

    Attributes:
        settlement: the settlement.
    """

    def __init__(self, settlement: Settlement) -> None:
        """Encode the results.

        Raises:
            MalformedChange: the template of a dead change cannot be read.
        """
        self.settlement = settlement
        self._endings = _encode_endings(settlement)

    def row(self, now_s: float, further: list[bytes]) -> SettlementRow:
        """Return a settlement as of now; add its bytes to the further arguments.

        Ages are computed just before sending: any time until the script runs makes the guard stricter, never laxer.
        """
        settlement = self.settlement
        claim, request = settlement.claim, settlement.request

        def number(content: bytes | None) -> int:
            if content is None:
                return 0
            further.append(content)
            return len(further)

        reply_age = round_trip = ABSENT
        if request is not None:
            reply_age = max(0, round((now_s - request.ended_s) * US_PER_S))
            if request.round_trip_s is not None:
                round_trip = round(request.round_trip_s * US_PER_S)
        requeue = settlement if isinstance(settlement, Requeue) else None
        finish = settlement if isinstance(settlement, Finish) else None
        return SettlementRow(
            lane=claim.lane,
            job_id=claim.job_id,
            token=claim.token,
            slot_number=claim.slot_number,
            reply_age=reply_age,
            round_trip=round_trip,
            arrives_within=ARRIVES_WITHIN_US if request and (request.was_aborted or request.late_until_s) else 0,
            failure_kind=(request and request.failure_kind) or "",
            is_explained=int(request is not None and request.keys_replaced),
            is_egress_fault=int(request is not None and request.is_egress_fault),
            retry_after_ms=round(((request and request.retry_after_s) or 0.0) * 1000),
            steady_for=round(max(0.0, now_s - claim.redis_clock_steady_since_s) * US_PER_S),
            rejected_keys_mark=_mark_argument(settlement),
            late_for=max(0, round((request.late_until_s - now_s) * US_PER_S)) if request else 0,
            action=SettleAction.FINISH if finish else SettleAction.REQUEUE,
            history=number(settlement.history),
            requeue_history=number(finish.requeue_history) if finish else 0,
            delay_ms=round(requeue.delay_s * 1000) if requeue else 0,
            hold_ms=round(requeue.hold_s * 1000) if requeue else 0,
            one_by_one=int(requeue is not None and requeue.one_by_one),
            waits_for=requeue.waits_for if requeue else "",
            endings=[
                EndingRow(job_id, outcome, number(result), number(payload))
                for job_id, outcome, result, payload in self._endings
            ],
        )


def _encode_endings(settlement: Settlement) -> list[tuple[str, str, bytes, bytes | None]]:
    """Return job ID, outcome, result, and the payload that a dead letter of a template's change keeps."""
    if isinstance(settlement, Requeue):
        return []
    claim = settlement.claim
    stored = {claim.job_id: claim.stored, **dict(claim.coalescable)}
    endings = []
    for result in settlement.results:
        content, payload = stored[result.job_id], None
        if content.is_template and content.content is not None and result.outcome in DEAD_OUTCOMES:
            user_id, _ = keyspace.user_and_trader(claim.lane)
            payload = payload_of_template(
                content.content, user_id, content.enqueued_ms, content.ttl_ms, settlement.traceparent
            )
        endings.append((result.job_id, result.outcome.value, encode_result(result), payload))
    return endings


def _mark_argument(settlement: Settlement) -> str:
    """Return the change of the user's rejected-keys mark: a new one, `CLEAR_MARK`, or "" for none."""
    request, before = settlement.request, settlement.claim.rejected_keys_mark
    if request is None or request.rejected_keys_mark == before:
        return ""
    return request.rejected_keys_mark or CLEAR_MARK
