"""The plan that reads the status of one user: its lanes, own rate, use of the rate, pause and hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from producers.contract import keyspace
from producers.contract.keyspace import Keyspace
from producers.contract.messages import Priority
from producers.contract.stored_values import number, read_each
from producers.contract.validation import check_id
from producers.queue.bucket import FULL_PACE, US_PER_S, StoredBucket, decode_bucket, next_slot_us
from producers.queue.lanes import LaneScore, job_id_of_entry, parse_head
from producers.queue.pauses import Scope
from producers.transport.commands import GET, HGET, HLEN, HMGET, LRANGE, TIME_US, ZRANGE_WITHSCORES
from producers.transport.plan import Command, Plan, Transaction

MAX_JOBS_SHOWN = 1000
"""Changes of a lane whose IDs a status has at most."""

MAX_LANES_SHOWN = 10_000
"""Lanes that a status has at most, if it does not have all."""


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
        jobs: the job IDs of its first changes, the head first: as many as were asked for.
    """

    trader_id: str
    queued: int
    in_flight: bool
    parked: bool
    due_in_s: float | None
    priority: Priority
    head: str
    jobs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BucketStatus:
    """A user's use of its rate, of its last requests.

    Attributes:
        requests: how many requests count now: those in flight, and those that were made less than a window ago.
        per_window: how many requests there may be in one window.
        window_s: the window.
        next_slot_in_s: seconds until the next request may be sent; 0 if it may be sent now; None if that depends on a
            request in flight.
    """

    requests: int
    per_window: int
    window_s: float
    next_slot_in_s: float | None


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
        lanes: the lanes that hold changes, by trader: all of them, or as many as were asked for.
        malformed: how many of the user's lanes cannot be read.
        lanes_total: how many lanes hold changes.
        everything_paused: whether everything is paused, and so this user.
        bucket: the use of its rate; None if it made no request lately, so that its next one may be sent now.
        egress: the only egress that its requests leave from; None if it is pinned to none.
    """

    user_id: str
    paused: bool
    rate_per_s: float | None
    hold_s: float
    slowed: float
    refused_code: str | None
    lanes: list[LaneStatus]
    malformed: int = 0
    lanes_total: int = 0
    everything_paused: bool = False
    bucket: BucketStatus | None = None
    egress: str | None = None


def user_status(
    keys: Keyspace, user_id: str, *, trader_id: str | None = None, max_lanes: int | None = None, changes: int = 0
) -> Plan[UserStatus]:
    """Return the status of a user.

    Args:
        keys: the names of keys.
        user_id: the user.
        trader_id: return only the lane of this trader.
        max_lanes: how many lanes to return, at most `MAX_LANES_SHOWN`: those in flight, then those that are due first;
            None for all.
        changes: of how many changes of each lane to return the job IDs; at most `MAX_JOBS_SHOWN`.

    Raises:
        InvalidId: the user ID or the trader ID cannot be one.
    """
    user = keyspace.escape(check_id("user_id", user_id))
    trader = None if trader_id is None else keyspace.escape(check_id("trader_id", trader_id))
    max_lanes = None if max_lanes is None else max(1, min(max_lanes, MAX_LANES_SHOWN))
    of_user, lanes_total, found_scores = yield from Transaction(
        Transaction[Any](
            TIME_US(),
            HMGET(keys.paused, Scope("user", user_id).field, Scope("everything").field),
            Transaction(HGET(keys.rates, user), HGET(keys.pins, user)),
            GET(keys.bucket_of(user)),
            HGET(keys.rejected_keys, user),
        ),
        HLEN(keys.heads + user),
        _lane_scores((keys.lanes + user, keys.bulk_lanes + user), trader, max_lanes),
    )
    now_us, (paused_since, all_paused_since), (rate, pin), stored_bucket, rejected_keys = of_user
    scores = {trader: score for lanes in found_scores for trader, score in lanes}
    traders = sorted(scores, key=lambda trader: (scores[trader] != LaneScore.IN_FLIGHT, scores[trader]))[:max_lanes]
    changes = max(0, min(changes, MAX_JOBS_SHOWN))
    found = yield from _fetch_lanes(keys, user, traders, changes)
    lanes = read_each(found, lambda lane: _lane_status(*lane, scores[lane[0]], now_us, changes))
    if len(scores) == len(traders) and trader is None:  # all lanes were read
        lanes.malformed += max(0, lanes_total - len(scores))
    lanes.sort(key=lambda lane: lane.trader_id)
    bucket = decode_bucket(stored_bucket)
    return UserStatus(
        user_id=user_id,
        paused=paused_since is not None,
        rate_per_s=number(rate),
        hold_s=max(0.0, (bucket.hold - now_us) / US_PER_S),
        slowed=bucket.slowdown_permille / FULL_PACE,
        refused_code=None if rejected_keys is None else _rejection_code(rejected_keys),
        lanes=lanes,
        malformed=lanes.malformed,
        lanes_total=lanes_total,
        everything_paused=all_paused_since is not None,
        bucket=_bucket_status(bucket, now_us) if bucket.per_window else None,
        egress=None if pin is None else keyspace.unescape(pin.decode(errors="replace")),
    )


def _lane_scores(
    names: Sequence[str], trader: str | None, max_lanes: int | None
) -> Transaction[tuple[list[tuple[bytes, float]], ...]]:
    """Read lanes with their scores from sorted sets: the first ones, and the last ones, which are those in flight."""
    if trader is not None:
        return Transaction(*[_lane_score(name, trader) for name in names])
    ranges = [(0, -1)] if max_lanes is None else [(0, max_lanes - 1), (-max_lanes, -1)]
    return Transaction(*[ZRANGE_WITHSCORES(name, first, last) for name in names for first, last in ranges])


def _lane_score(name: str, trader: str) -> Command[list[tuple[bytes, float]]]:
    def parse(score: float | None) -> list[tuple[bytes, float]]:
        return [] if score is None else [(trader.encode(), score)]

    return Command(("ZSCORE", name, trader), parse, idempotent=True)


def _fetch_lanes(
    keys: Keyspace, user: str, traders: Sequence[bytes], changes: int
) -> Plan[list[tuple[bytes, bytes, list[bytes]]]]:
    """Return the stored head of each lane, and the entries behind it; without lanes that are empty by now."""
    if not traders:
        return []
    behind = changes - 1
    lanes = [f"{user}:{trader.decode(errors='replace')}" for trader in traders] if behind > 0 else []
    heads, entries = yield from Transaction(
        HMGET(keys.heads + user, *traders), Transaction(*[LRANGE(keys.rest + lane, 0, behind - 1) for lane in lanes])
    )
    rest: Sequence[list[bytes]] = entries or [[] for _ in traders]
    return [
        (trader, head, others) for trader, head, others in zip(traders, heads, rest, strict=True) if head is not None
    ]


def _bucket_status(bucket: StoredBucket, now_us: int) -> BucketStatus:
    slot_us = next_slot_us(bucket, now_us)
    return BucketStatus(
        requests=sum(end < 0 or end > now_us for end in bucket.ring),
        per_window=bucket.per_window,
        window_s=bucket.window / US_PER_S,
        next_slot_in_s=None if slot_us is None else (slot_us - now_us) / US_PER_S,
    )


def _lane_status(
    trader: bytes, stored: bytes, rest: Sequence[bytes], score_ms: float, now_us: int, changes: int
) -> LaneStatus:
    """Return the status of a lane.

    Raises:
        ValueError: its head cannot be read.
    """
    head = parse_head(stored)
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
        jobs=[head.job_id, *read_each(rest, job_id_of_entry)][:changes],
    )


def _rejection_code(stored: bytes) -> str:
    """Return the code of a marker of rejected keys, which is `<fingerprint> <code> <since (ms)>`."""
    return stored.decode(errors="replace").partition(" ")[2].partition(" ")[0]
