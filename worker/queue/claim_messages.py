"""The messages of the claim script."""

from __future__ import annotations

from producers.transport.script_messages import Message


class ClaimRequest(Message):
    """What claim.lua is given.

    Attributes:
        session: the worker's session.
        number: the claim's number in its session, counted from 1.
        egress: name of the worker's egress, escaped.
        limit: most changes to claim.
        pace: user pace, us a request.
        per_window: requests of a user in one window.
        window: the window, us.
        catch_up: most of a claim's lateness that the next slot makes up for, us.
        margin_ppm: by how much a pace is longer than its rate allows, millionths.
        egress_pace: us a request.
        egress_burst: how far the egress may be ahead of its pace, us.
        probe_lease: when the next probe is due if this claim's is never settled, us after its slot.
        not_after: when `egress_pace` ends, us of Redis's clock; 0 for never.
    """

    session: str
    number: int
    egress: str
    limit: int
    pace: int
    per_window: int
    window: int
    catch_up: int
    margin_ppm: int
    egress_pace: int
    egress_burst: int
    probe_lease: int
    not_after: int = 0


class BehindRow(Message):
    """A change behind a head that may be sent with it; fields as in `ClaimRow`."""

    job_id: str
    payload: int
    template: int
    enqueued_ms: int
    ttl_ms: int


class ClaimRow(Message):
    """A head that was claimed.

    Attributes:
        lane: name of its lane.
        job_id: its ID.
        token: proves the claim in its session.
        wait_us: us until its slot, negative if that has passed.
        slot_number: number of the slot in the user's bucket.
        lost_deliveries: how many workers in a row died with it.
        payload: number of its payload; 0 if that is absent or too large, and for a change of a template.
        template: number of its batch's template in the reply's list; 0 for a change with a payload.
        enqueued_ms: when a change of a template was enqueued, Unix ms; 0 for others.
        ttl_ms: its TTL; 0 for others.
        history: number of its attempt history; 0 for none.
        behind: the changes behind it that may be sent with it, in lane order.
        egress_health: an `EgressHealth`.
        rejected_keys_mark: the user's mark; "" for none.
        is_cancelled: 1 if its batch was cancelled.
        is_bulk: 1 if it was claimed as a bulk lane.
        late_ms: ms since its user was due.
        traceparent: the trace context of its batch; "" for none.
    """

    lane: str
    job_id: str
    token: str
    wait_us: int
    slot_number: int
    lost_deliveries: int
    payload: int
    template: int
    enqueued_ms: int
    ttl_ms: int
    history: int
    behind: list[BehindRow]
    egress_health: int
    rejected_keys_mark: str
    is_cancelled: int
    is_bulk: int
    late_ms: int
    traceparent: str


class MalformedRow(Message):
    """An entry that could not be read; `name` is a lane or a user."""

    name: str
    done: str
    is_postponed: int


class ClaimReply(Message):
    """What claim.lua replies.

    Attributes:
        now_ms: Redis's clock, Unix ms.
        is_refused: 1 if the session is dead, or the claim was given up.
        is_blocked: 1 if the egress is paused, or its breaker is open; 2 if a probe is due and nobody could be claimed.
        has_pinned: 1 if users are pinned to the egress.
        next_due_us: us until another user may be claimable; -1 if none is scheduled.
        rows: the claims.
        malformed: the entries that could not be read.
        templates: for each template its number among the further elements.
    """

    now_ms: int
    is_refused: int
    is_blocked: int
    has_pinned: int
    next_due_us: int
    rows: list[ClaimRow]
    malformed: list[MalformedRow]
    templates: list[int]
