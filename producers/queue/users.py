"""Plans about one user: its own rate, its status, cancelling its changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from producers.contract import keyspace
from producers.contract.keyspace import Keyspace
from producers.contract.messages import Priority
from producers.contract.stored_values import number, read_each
from producers.contract.validation import check_id, check_rate
from producers.queue.bucket import FULL_PACE, US_PER_S, decode_bucket
from producers.queue.cancel import Cancellation, CancelReport, cancel_jobs
from producers.queue.lanes import LaneScore, job_id_of_entry, parse_head
from producers.queue.pauses import Scope, wake_user
from producers.transport.commands import GET, HDEL, HEXISTS, HGET, HGETALL, HSET, LRANGE, TIME_US, ZRANGE_WITHSCORES
from producers.transport.plan import Plan, Transaction

CANCEL_PAGE_SIZE = 1000
"""Changes of a lane that are read in one round trip."""


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One lane of a user.

    Attributes:
        trader_id: its trader.
        queued: how many changes it holds, including those in flight.
        in_flight: whether it is in flight under a worker's session.
        parked: whether it waits until its trader is resumed.
        due_in_s: seconds until it may be claimed; 0 if it is due; None while it is in flight or parked.
        priority: its priority.
        head: the job ID of its head.
    """

    trader_id: str
    queued: int
    in_flight: bool
    parked: bool
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
        hold_s: seconds until a hold, after a 429 or an upgrade, ends; 0 if there is none.
        slowed: the factor by which its requests are slowed after a 429; 1 if they are not.
        refused_code: the code with which the exchange rejected its API keys: its changes end `unauthorized`, without
            a request, until the keys are replaced or the user is resumed; None if they were not rejected.
        lanes: the lanes that hold changes, by trader.
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
    yield from wake_user(user_id)


def cancel_user(keys: Keyspace, user_id: str, *, result_ttl_ms: int) -> Plan[CancelReport]:
    """Cancel all changes of a user that are queued now, except those in flight.

    Raises:
        InvalidId: the user ID cannot be one.
    """
    user = keyspace.escape(check_id("user_id", user_id))
    heads = yield from HGETALL(keys.heads + user)
    counts: Counter[Cancellation] = Counter()
    malformed = 0
    for trader, stored in heads.items():
        head = parse_head(stored)
        lane = f"{user}:{trader.decode(errors='replace')}"
        malformed += head.job_id is None
        for _ in range(0, head.changes, CANCEL_PAGE_SIZE):
            # The newest first, so that what is in flight does not end in the middle; each page is the last one by then.
            page = read_each((yield from LRANGE(keys.rest + lane, -CANCEL_PAGE_SIZE, -1)), job_id_of_entry)
            malformed += page.malformed
            counts.update((yield from cancel_jobs(keys, list(reversed(page)), result_ttl_ms=result_ttl_ms)))
        if head.job_id is not None:
            counts.update((yield from cancel_jobs(keys, [head.job_id], result_ttl_ms=result_ttl_ms)))
    return CancelReport(counts[Cancellation.CANCELLED], counts[Cancellation.IN_FLIGHT], malformed)


def user_status(keys: Keyspace, user_id: str) -> Plan[UserStatus]:
    """Return the status of a user.

    Raises:
        InvalidId: the user ID cannot be one.
    """
    user = keyspace.escape(check_id("user_id", user_id))
    now_us, (is_paused, rate, bucket, rejected_keys), heads, interactive, bulk = yield from Transaction(
        TIME_US(),
        Transaction[Any](
            HEXISTS(keys.paused, Scope("user", user_id).field),
            HGET(keys.rates, user),
            GET(keys.bucket_of(user)),
            HGET(keys.rejected_keys, user),
        ),
        HGETALL(keys.heads + user),
        ZRANGE_WITHSCORES(keys.lanes + user, 0, -1),
        ZRANGE_WITHSCORES(keys.bulk_lanes + user, 0, -1),
    )
    found = decode_bucket(bucket)
    scores = dict([*interactive, *bulk])
    lanes = read_each(heads.items(), lambda head: _lane_status(*head, scores, now_us))
    lanes.sort(key=lambda lane: lane.trader_id)
    return UserStatus(
        user_id=user_id,
        paused=is_paused,
        rate_per_s=number(rate),
        hold_s=max(0.0, (found.hold - now_us) / US_PER_S),
        slowed=found.slowdown_permille / FULL_PACE,
        refused_code=None if rejected_keys is None else _rejection_code(rejected_keys),
        lanes=lanes,
        malformed=lanes.malformed,
    )


def _lane_status(trader: bytes, stored: bytes, scores: Mapping[bytes, float], now_us: int) -> LaneStatus:
    """Return the status of a lane.

    Raises:
        ValueError: its head cannot be read.
    """
    head, score_ms = parse_head(stored), scores.get(trader, 0.0)
    if head.job_id is None:
        raise ValueError(f"{stored!r} is not the head of a lane")
    in_flight = score_ms == LaneScore.IN_FLIGHT
    is_parked = score_ms == LaneScore.PARKED
    return LaneStatus(
        trader_id=keyspace.unescape(trader.decode()),
        queued=head.changes,
        in_flight=in_flight,
        parked=is_parked,
        due_in_s=None if in_flight or is_parked else max(0.0, score_ms / 1000 - now_us / US_PER_S),
        priority=head.priority,
        head=head.job_id,
    )


def _rejection_code(stored: bytes) -> str:
    """Return the code of a marker of rejected keys, which is `<fingerprint> <code> <since (ms)>`."""
    return stored.decode(errors="replace").partition(" ")[2].partition(" ")[0]
