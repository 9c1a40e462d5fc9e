"""Plans about one user: its lanes, its own rate, taking back what is queued. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from producers.contract import keyspace
from producers.contract.messages import Priority
from producers.contract.validation import check_id, check_rate
from producers.queue.cancel import Cancellation, CancelReport, cancel_jobs
from producers.queue.pauses import LANE_BATCH_SIZE, Scope, user_lanes, wake_user
from producers.transport.plan import Plan, Transaction
from producers.transport.scripts import Argument

US_PER_S = 1_000_000
AS_SET = 1000
"""A bucket's `slow` of a user that is sent for at its rate."""


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One lane of a user.

    Attributes:
        trader_id: its trader.
        queued: how many changes it holds, in flight ones included.
        in_flight: whether its head is being sent.
        due_in_s: when it may be claimed (or, in flight, claimed again), seconds from now; 0 if it is due.
        priority: of the lane.
        head: the job ID of its head.
    """

    trader_id: str
    queued: int
    in_flight: bool
    due_in_s: float
    priority: Priority
    head: str


@dataclass(frozen=True, slots=True)
class UserStatus:
    """Where a user is.

    Attributes:
        user_id: the user.
        paused: whether a pause of this user is in force.
        rate_per_s: the user's own rate; None for the workers'.
        hold_s: seconds until a hold after a 429 ends; 0 if there is none.
        slowed: how many times slower than its rate it is sent for, after a 429; 1 if it is not.
        refused_code: the code with which its keys were refused: its changes end `unauthorized` unsent until they are
            replaced or the user is resumed; None if they were not.
        lanes: the lanes that hold changes.
    """

    user_id: str
    paused: bool
    rate_per_s: float | None
    hold_s: float
    slowed: float
    refused_code: str | None
    lanes: list[LaneStatus]


def limit_user(user_id: str, rate_per_s: float | None) -> Plan[None]:
    """Gives a user a rate of its own, or the workers' again; holds from the next claim on.

    Raises:
        InvalidId: this cannot be a user.
        InvalidLimit: this cannot be a rate; nothing was changed.
    """
    user = keyspace.escape(check_id("user_id", user_id))
    if rate_per_s is None:
        yield Transaction([("HDEL", keyspace.RATES, user)])
    else:
        yield Transaction([("HSET", keyspace.RATES, user, repr(check_rate(rate_per_s)))])
    yield from wake_user(user_id)


def cancel_user(user_id: str, *, result_ttl_ms: int) -> Plan[CancelReport]:
    """Takes back all that is queued of a user, as it is when it is looked at.

    Raises:
        InvalidId: this cannot be a user.
    """
    job_ids: list[str] = []
    for lane in (yield from user_lanes(check_id("user_id", user_id))):
        (listed,) = yield Transaction([("LRANGE", keyspace.LANE + lane, 0, -1)])
        job_ids += [job_id.decode() for job_id in listed]
    verdicts = yield from cancel_jobs(job_ids, result_ttl_ms=result_ttl_ms)
    return CancelReport(verdicts.count(Cancellation.CANCELLED), verdicts.count(Cancellation.IN_FLIGHT))


def user_status(user_id: str) -> Plan[UserStatus]:
    """Where a user is.

    Raises:
        InvalidId: this cannot be a user.
    """
    user = keyspace.escape(check_id("user_id", user_id))
    lanes = yield from user_lanes(user_id)
    bucket = f"{keyspace.BUCKET}{user}{keyspace.BUCKET_SUFFIX}"
    time, is_paused, rate, (hold, slowed), mark = yield Transaction(
        [
            ("TIME",),
            ("HEXISTS", keyspace.PAUSED, Scope("user", user_id).field),
            ("HGET", keyspace.RATES, user),
            ("HMGET", bucket, "hold", "slow"),
            ("HGET", keyspace.REJECTED_KEYS, user),
        ]
    )
    now_us = time[0] * US_PER_S + time[1]
    found: list[LaneStatus] = []
    for start in range(0, len(lanes), LANE_BATCH_SIZE):
        found += yield from _lane_statuses(lanes[start : start + LANE_BATCH_SIZE], now_us)
    return UserStatus(
        user_id=user_id,
        paused=bool(is_paused),
        rate_per_s=None if rate is None else float(rate),
        hold_s=max(0.0, (float(hold or 0) - now_us) / US_PER_S),
        slowed=float(slowed or AS_SET) / AS_SET,
        refused_code=None if mark is None else mark.decode(errors="replace").partition(" ")[2].partition(" ")[0],
        lanes=found,
    )


def _lane_statuses(lanes: list[str], now_us: int) -> Plan[list[LaneStatus]]:
    asked: list[tuple[Argument, ...]] = [
        command
        for lane in lanes
        for command in (
            ("LLEN", keyspace.LANE + lane),
            ("LINDEX", keyspace.LANE + lane, 0),
            ("HEXISTS", keyspace.HEAD + lane, "token"),
            ("ZSCORE", keyspace.SCHEDULE, lane),
            ("ZSCORE", keyspace.BULK_SCHEDULE, lane),
        )
    ]
    replies = iter((yield Transaction(asked)))
    found = []
    for lane, queued, first, claimed, due, bulk_due in zip(lanes, *[replies] * 5, strict=False):
        if not queued:
            continue  # it became empty between the two reads
        due_ms = float(bulk_due or 0.0) if due is None else float(due)
        found.append(
            LaneStatus(
                trader_id=keyspace.user_and_trader(lane)[1],
                queued=queued,
                in_flight=bool(claimed),
                due_in_s=max(0.0, due_ms / 1000 - now_us / US_PER_S),
                priority=Priority.BULK if due is None else Priority.INTERACTIVE,
                head=first.decode(),
            )
        )
    return found
