"""Why a change waits: the decision from what is stored. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from producers.contract import keyspace
from producers.contract.attempt_history import AttemptHistory
from producers.contract.messages import THROTTLED
from producers.contract.waits import Wait, WaitReason
from producers.contract.wording import plural
from producers.queue.breaker import FAILING
from producers.queue.bucket import FULL_PACE, US_PER_S, StoredBucket, late_until_us, next_slot_us
from producers.queue.lanes import LaneScore

DEFAULT_PACE_US = 100_000
"""Ten requests a second, where neither the user nor a worker says otherwise."""

US_PER_MS = 1000
CREDENTIALS = "credentials"
"""What a lane waits for that was put back since its user's API keys could not be read."""

Facts = dict[str, str | int | float]

TROUBLE = {
    FAILING: "requests of several users fail without a verdict of the exchange",
    THROTTLED: "the exchange throttles it",
}
"""Why a breaker is open. The other reason is `refused <code>`."""


@dataclass(frozen=True, slots=True)
class EgressFacts:
    """An egress that a live worker sends through. Times are us on Redis's clock, 0 for none.

    Attributes:
        name: its name.
        paused_ms: since when it is paused; None if it is not.
        trouble: why its breaker is open; "" if it is closed.
        probe_at: when the breaker's next probe is due.
        tat: the slot after its last one.
        pace: time between two slots.
        user_pace: time between two slots of a user without a rate of its own.
    """

    name: str
    paused_ms: int | None = None
    trouble: str = ""
    probe_at: int = 0
    tat: int = 0
    pace: int = 0
    user_pace: int = 0


@dataclass(frozen=True, slots=True)
class WaitFacts:
    """What is stored about a change that waits.

    Attributes:
        now_us: the time.
        user: its user.
        trader: its trader, escaped.
        position: how many changes of its lane are before it.
        score_ms: the score of its lane: a time, or a `LaneScore`.
        bucket: its user's bucket.
        rate_per_s: its user's own rate.
        history: the attempts of its lane's head.
        waits_for: what its lane was put back for; "" for nothing in particular.
        paused_ms: since when "everything", "user" and "trader" are paused.
        pin: the only egress that may serve its user; None for any.
        egresses: those of live workers that may serve it.
        lanes_before: how many lanes of its user are ready before its own.
        users_before: how many users are due before its user.
        other_lanes: how many other lanes of its user take turns with its own.
        other_changes: how many changes each of those has; of the first ones, if they are many.
    """

    now_us: int
    user: str
    trader: str
    position: int
    score_ms: float
    bucket: StoredBucket
    rate_per_s: float | None = None
    history: AttemptHistory = field(default_factory=AttemptHistory)
    waits_for: str = ""
    paused_ms: Mapping[str, int] = field(default_factory=dict)
    pin: str | None = None
    egresses: Sequence[EgressFacts] = ()
    lanes_before: int = 0
    users_before: int = 0
    other_lanes: int = 0
    other_changes: Sequence[int] = ()

    @property
    def pace_us(self) -> float:
        """Time between two requests of its user."""
        if self.rate_per_s:
            return US_PER_S / self.rate_per_s
        found = self.bucket.pace or max((egress.user_pace for egress in self.egresses), default=0)
        return found or DEFAULT_PACE_US


def why(facts: WaitFacts) -> Wait:
    """Return why a change waits."""
    stopped = _pause(facts) or _egress(facts)
    return stopped or (_lane(facts) if facts.position else _head(facts))


def _head(facts: WaitFacts) -> Wait:
    """Return why the head of its lane waits, while something could be sent."""
    return _ready(facts) or _hold(facts) or _slot(facts) or _turn(facts) or _due(facts)


def _pause(facts: WaitFacts) -> Wait | None:
    reasons = {
        "everything": (WaitReason.EVERYTHING_PAUSED, "everything is paused"),
        "trader": (WaitReason.TRADER_PAUSED, f"trader {keyspace.unescape(facts.trader)} is paused"),
        "user": (WaitReason.USER_PAUSED, f"user {facts.user} is paused"),
    }
    for scope, (reason, message) in reasons.items():
        if scope in facts.paused_ms:
            return Wait(reason=reason, message=message, expected_at_ms=None, facts={"sinceMs": facts.paused_ms[scope]})
    return None


def _egress(facts: WaitFacts) -> Wait | None:
    """Return what stops every egress that may serve the change."""
    named: Facts = {} if facts.pin is None else {"egress": facts.pin}
    if not facts.egresses:
        message = "no worker is alive" + (f" on egress {facts.pin}, to which its user is pinned" if facts.pin else "")
        return Wait(reason=WaitReason.NO_WORKER, message=message, expected_at_ms=None, facts=named)
    if any(egress.paused_ms is None and not egress.trouble for egress in facts.egresses):
        return None
    broken = [egress for egress in facts.egresses if egress.trouble and egress.paused_ms is None]
    if not broken:
        paused = facts.egresses[0]
        message = f"egress {paused.name} is paused" if len(facts.egresses) == 1 else "every egress in use is paused"
        since: Facts = {"egress": paused.name, "sinceMs": paused.paused_ms or 0}
        return Wait(reason=WaitReason.EGRESS_PAUSED, message=message, expected_at_ms=None, facts=since)
    first = min(broken, key=lambda egress: egress.probe_at)
    trouble = TROUBLE.get(first.trouble, f"the exchange rejects the API keys of many users ({first.trouble})")
    probe_at_ms = max(facts.now_us, first.probe_at) // US_PER_MS
    probe = f"it sends a probe in {_until(facts, first.probe_at)}"
    return Wait(
        reason=WaitReason.BREAKER_OPEN,
        message=f"egress {first.name} has stopped sending: {trouble}; {probe}",
        expected_at_ms=None,
        facts={"egress": first.name, "trouble": first.trouble, "probeAtMs": probe_at_ms},
    )


def _lane(facts: WaitFacts) -> Wait:
    before = f"{_go(facts.position, 'change', 'its lane')} before it"
    known: Facts = {"before": facts.position}
    if facts.other_lanes:
        before += f", in turns with {plural(facts.other_lanes, 'other lane')} of its user"
        known["otherLanes"] = facts.other_lanes
    if facts.score_ms == LaneScore.IN_FLIGHT:
        message, head_us = f"{before}; the first is being sent", facts.now_us
    else:
        head = _head(facts)
        message, head_us = f"{before}; the first waits: {head.message}", (head.expected_at_ms or 0) * US_PER_MS
        known["headReason"] = head.reason.value
    turns = sum(min(changes, facts.position) for changes in facts.other_changes)
    requests = facts.position + turns * facts.other_lanes / max(1, len(facts.other_changes))
    return _wait(WaitReason.LANE_TURN, message, max(facts.now_us, head_us) + facts.pace_us * requests, known)


def _ready(facts: WaitFacts) -> Wait | None:
    """Return why the lane is not ready."""
    ready_us = round(facts.score_ms) * US_PER_MS
    if facts.score_ms >= LaneScore.PARKED or ready_us <= facts.now_us:
        return None
    until = _until(facts, ready_us)
    late_us = late_until_us(facts.bucket, facts.trader, facts.now_us)
    if late_us and not facts.history.attempts:  # else this change is itself repeated
        message = f"an earlier request of its lane, whose fate is not known, may still be applied for {until}"
        return _wait(WaitReason.LOST_REQUEST, message, ready_us, {"untilMs": late_us // US_PER_MS})
    if facts.waits_for == CREDENTIALS:
        message = f"its user's API keys cannot be read; they are looked up again in {until}"
        return _wait(WaitReason.CREDENTIALS_UNAVAILABLE, message, ready_us, {})
    last = facts.history.attempts[-1] if facts.history.attempts else None
    known: Facts = {"attempts": len(facts.history.attempts)}
    if last is not None:
        known |= {"verdict": last.verdict} | ({"code": last.code} if last.code else {})
    cause = f"its last attempt failed ({last.code or last.verdict})" if last else "it was put back"
    return _wait(WaitReason.BACK_OFF, f"{cause}; it is tried again in {until}", ready_us, known)


def _hold(facts: WaitFacts) -> Wait | None:
    if facts.bucket.hold <= facts.now_us:
        return None
    message = f"the exchange has throttled its user; nothing is sent for {_until(facts, facts.bucket.hold)}"
    expected_us = facts.bucket.hold + facts.lanes_before * facts.pace_us
    return _wait(WaitReason.HOLD, message, expected_us, {"untilMs": facts.bucket.hold // US_PER_MS})


def _slot(facts: WaitFacts) -> Wait | None:
    slot = next_slot_us(facts.bucket, facts.now_us)
    if slot is not None and slot <= facts.now_us:
        return None
    rate = facts.rate_per_s or round(US_PER_S / facts.pace_us, 1)  # a pace is a little longer than its rate allows
    known: Facts = {"ratePerS": rate, "lanesBefore": facts.lanes_before}
    message = f"its user's limit of {rate:g} requests a second"
    if facts.bucket.slowdown_permille > FULL_PACE:
        known["slowed"] = facts.bucket.slowdown_permille / FULL_PACE
        message += f", slowed {known['slowed']:g} times after it was throttled"
    if facts.lanes_before:
        message += f"; {_go(facts.lanes_before, 'lane', 'the user')} first"
    at_us = (facts.now_us + facts.pace_us if slot is None else slot) + facts.lanes_before * facts.pace_us
    return _wait(WaitReason.USER_SLOT, message, at_us, known)


def _turn(facts: WaitFacts) -> Wait | None:
    """Return what goes before the change although its user has a slot."""
    if facts.lanes_before:
        message = f"{_go(facts.lanes_before, 'lane', 'its user')} before it"
        expected_us = facts.now_us + facts.lanes_before * facts.pace_us
        return _wait(WaitReason.USER_TURN, message, expected_us, {"lanesBefore": facts.lanes_before})
    open_ones = [egress for egress in facts.egresses if egress.paused_ms is None and not egress.trouble]
    first = min(open_ones, key=lambda egress: egress.tat)
    per_us = sum(1 / egress.pace for egress in open_ones if egress.pace)
    expected_us = max(facts.now_us, first.tat) + (facts.users_before / per_us if per_us else 0)
    if expected_us <= facts.now_us:
        return None
    message = "the limit of its egress"
    if facts.users_before:
        message += f"; {_go(facts.users_before, 'user', 'its egress')} before its user"
    known: Facts = {"egress": first.name, "usersBefore": facts.users_before}
    return _wait(WaitReason.EGRESS_SLOT, message, expected_us, known)


def _due(facts: WaitFacts) -> Wait:
    return _wait(WaitReason.DUE, "it is due; a worker takes it next", facts.now_us, {})


def _wait(reason: WaitReason, message: str, expected_us: float, facts: Facts) -> Wait:
    return Wait(reason=reason, message=message, expected_at_ms=round(expected_us) // US_PER_MS, facts=facts)


def _go(count: int, noun: str, owner: str) -> str:
    """Return such as "1 lane of its user goes" or "2 lanes of its user go"."""
    return f"{plural(count, noun)} of {owner} {'goes' if count == 1 else 'go'}"


def _until(facts: WaitFacts, at_us: float) -> str:
    left_s = max(0.0, (at_us - facts.now_us) / US_PER_S)
    return f"{left_s:.1f} s"
