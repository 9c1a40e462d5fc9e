"""Plans about one user: its own rate, its status, cancelling its changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from producers.contract import keyspace
from producers.contract.keyspace import Keyspace
from producers.contract.messages import Priority
from producers.contract.stored_values import Listing, number, read_each
from producers.contract.validation import check_id, check_rate
from producers.queue.bucket import FULL_PACE, US_PER_S
from producers.queue.cancel import Cancellation, CancelReport, cancel_jobs
from producers.queue.pauses import LANE_BATCH_SIZE, Scope, user_lanes, wake_user
from producers.queue.slicing import slices
from producers.transport.commands import HDEL, HEXISTS, HGET, HMGET, HSET, LINDEX, LLEN, LRANGE, TIME_US, ZSCORE
from producers.transport.plan import Plan, Transaction


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One lane of a user.

    Attributes:
        trader_id: its trader.
        queued: how many changes it holds, including those in flight.
        in_flight: whether a worker has claimed it, and the lease has not lapsed.
        due_in_s: seconds until it may be claimed; 0 if it is due; None while it is in flight.
        priority: its priority.
        head: the job ID of its head.
    """

    trader_id: str
    queued: int
    in_flight: bool
    due_in_s: float | None
    priority: Priority
    head: str


@dataclass(frozen=True, slots=True)
class UserStatus:
    """The status of a user.

    Attributes:
        user_id: the user.
        paused: whether this user is paused.
        rate_per_s: the user's own rate; None if the workers' rate applies.
        hold_s: seconds until a hold after a 429 ends; 0 if there is none.
        slowed: the factor by which its requests are slowed after a 429; 1 if they are not.
        refused_code: the code with which the exchange rejected its API keys: its changes end `unauthorized`, without
            a request, until the keys are replaced or the user is resumed; None if they were not rejected.
        lanes: the lanes that hold changes.
        malformed: how many of the user's lanes cannot be read.
    """

    user_id: str
    paused: bool
    rate_per_s: float | None
    hold_s: float
    slowed: float
    refused_code: str | None
    lanes: list[LaneStatus]
    malformed: int = 0


def limit_user(keys: Keyspace, user_id: str, rate_per_s: float | None) -> Plan[None]:
    """Set a user's own rate, or remove it (None). It applies from the next claim.

    Raises:
        InvalidId: the user ID cannot be one.
        InvalidLimit: the rate is out of bounds; nothing was changed.
    """
    user = keyspace.escape(check_id("user_id", user_id))
    if rate_per_s is None:
        yield from HDEL(keys.rates, user)
    else:
        yield from HSET(keys.rates, user, repr(check_rate(rate_per_s)))
    yield from wake_user(keys, user_id)


def cancel_user(keys: Keyspace, user_id: str, *, result_ttl_ms: int) -> Plan[CancelReport]:
    """Cancel all changes of a user that are queued now, except those in flight.

    Raises:
        InvalidId: the user ID cannot be one.
    """
    job_ids: list[str] = []
    lanes = yield from user_lanes(keys, check_id("user_id", user_id))
    malformed = lanes.malformed
    for lane in lanes:
        listed = read_each((yield from LRANGE(keys.lane + lane, 0, -1)), bytes.decode)
        job_ids += listed
        malformed += listed.malformed
    found = yield from cancel_jobs(keys, job_ids, result_ttl_ms=result_ttl_ms)
    return CancelReport(found.count(Cancellation.CANCELLED), found.count(Cancellation.IN_FLIGHT), malformed)


def user_status(keys: Keyspace, user_id: str) -> Plan[UserStatus]:
    """Return the status of a user.

    Raises:
        InvalidId: the user ID cannot be one.
    """
    user = keyspace.escape(check_id("user_id", user_id))
    lanes = yield from user_lanes(keys, user_id)
    now_us, is_paused, rate, (hold, slowdown), rejected_keys = yield from Transaction(
        TIME_US(),
        HEXISTS(keys.paused, Scope("user", user_id).field),
        HGET(keys.rates, user),
        HMGET(keys.bucket_of(user), "hold", "slow"),
        HGET(keys.rejected_keys, user),
    )
    statuses: list[LaneStatus] = []
    malformed = lanes.malformed
    for some in slices(lanes, LANE_BATCH_SIZE):
        found = yield from _lane_statuses(keys, some, now_us)
        statuses += found
        malformed += found.malformed
    return UserStatus(
        user_id=user_id,
        paused=is_paused,
        rate_per_s=number(rate),
        hold_s=max(0.0, ((number(hold) or 0.0) - now_us) / US_PER_S),
        slowed=(number(slowdown) or FULL_PACE) / FULL_PACE,
        refused_code=None if rejected_keys is None else _rejection_code(rejected_keys),
        lanes=statuses,
        malformed=malformed,
    )


def _rejection_code(stored: bytes) -> str:
    """Return the code of a marker of rejected keys, which is `<fingerprint> <code> <since (ms)>`."""
    return stored.decode(errors="replace").partition(" ")[2].partition(" ")[0]


def _lane_statuses(keys: Keyspace, lanes: Sequence[str], now_us: int) -> Plan[Listing[LaneStatus]]:
    replies = yield from Transaction(
        *[
            Transaction(
                LLEN(keys.lane + lane),
                LINDEX(keys.lane + lane, 0),
                HEXISTS(keys.head + lane, "token"),
                ZSCORE(keys.schedule, lane),
                ZSCORE(keys.bulk_schedule, lane),
            )
            for lane in lanes
        ]
    )

    def status(row: tuple[str, tuple[Any, ...]]) -> LaneStatus:
        lane, (queued, head, is_claimed, due_ms, bulk_due_ms) = row
        priority = Priority.BULK if due_ms is None else Priority.INTERACTIVE
        score_ms = (bulk_due_ms or 0.0) if due_ms is None else due_ms
        due_in_s = max(0.0, score_ms / 1000 - now_us / US_PER_S)
        in_flight = is_claimed and due_in_s > 0  # the score of a claimed lane is the end of its lease
        return LaneStatus(
            trader_id=keyspace.user_and_trader(lane)[1],
            queued=queued,
            in_flight=in_flight,
            due_in_s=None if in_flight else due_in_s,
            priority=priority,
            head=head.decode(),
        )

    # Leave out lanes without a head, which became empty after they were listed.
    return read_each([row for row in zip(lanes, replies, strict=True) if row[1][1] is not None], status)
