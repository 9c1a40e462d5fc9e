"""The plan that reads why a change waits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from producers.contract import attempt_history, keyspace
from producers.contract.keyspace import Keyspace
from producers.contract.stored_values import number
from producers.contract.waits import Wait
from producers.queue.bucket import decode_bucket
from producers.queue.lanes import LaneScore, parse_head, parts
from producers.queue.pauses import Scope
from producers.queue.waits import EgressFacts, WaitFacts, why
from producers.transport.commands import GET, HGET, HGETALL, HMGET, TIME_US, ZCOUNT, ZRANGE_WITHSCORES, ZRANK, ZSCORE
from producers.transport.plan import Plan, Transaction

MAX_WORKERS = 200
"""Announcements that are read, the newest ones."""

MAX_EGRESSES = 16
"""Egresses that are looked at."""

MAX_OTHER_LANES = 100
"""Lanes of a user whose changes are counted."""

_NOT_PARKED = (("-inf", f"({LaneScore.PARKED.value}"), (LaneScore.IN_FLIGHT.value, LaneScore.IN_FLIGHT.value))
_EGRESS_FIELDS = ("reason", "probe_at", "tat", "pace", "user_pace")

_match_session = re.compile(rb"\d+ (\d+) (\d+) \d+ \d+ 0").fullmatch
"""A session that is not dead, as session.lua writes it: when it was renewed and its TTL (ms)."""


def fetch_wait(keys: Keyspace, lane: str, position: int) -> Plan[Wait | None]:
    """Return why a change of a lane waits, None if it is being sent.

    Args:
        keys: the names of keys.
        lane: its lane.
        position: how many changes of the lane are before it.
    """
    user, trader = parts(lane)
    user_id, trader_id = keyspace.user_and_trader(lane)
    scopes = {"everything": Scope("everything"), "user": Scope("user", user_id), "trader": Scope("trader", trader_id)}
    now_us, of_user, of_lane, sessions, announced = yield from Transaction(
        TIME_US(),
        Transaction[Any](
            HMGET(keys.paused, *(scope.field for scope in scopes.values())),
            GET(keys.bucket_of(user)),
            HGET(keys.rates, user),
            HGET(keys.pins, user),
        ),
        Transaction[Any](
            ZSCORE(keys.lanes + user, trader),
            ZSCORE(keys.bulk_lanes + user, trader),
            HGET(keys.heads + user, trader),
            HMGET(keys.attempts + lane, "history", "waits_for"),
        ),
        HGETALL(keys.sessions),
        ZRANGE_WITHSCORES(keys.workers, -MAX_WORKERS, -1),
    )
    paused, bucket, rate, pinned = of_user
    interactive_score, bulk_score, head, (history, waits_for) = of_lane
    is_bulk = interactive_score is None
    score_ms = bulk_score if is_bulk else interactive_score
    if score_ms is None or head is None or (score_ms == LaneScore.IN_FLIGHT and not position):
        return None  # it was claimed, or has ended, meanwhile
    pin = None if pinned is None else pinned.decode(errors="replace")
    names = _live_egresses(announced, sessions, now_us // 1000, pin)
    queues = yield from _fetch_queues(keys, user, trader, is_bulk=is_bulk, pin=pin, now_ms=now_us // 1000)
    egresses = yield from _fetch_egresses(keys, names)
    other_lanes, other_changes = yield from _fetch_other_lanes(keys, user, trader, is_bulk=is_bulk, position=position)
    lanes_before, users_before = queues
    head_id = parse_head(head).job_id
    return why(
        WaitFacts(
            now_us=now_us,
            user=user_id,
            trader=trader,
            position=position,
            score_ms=score_ms,
            bucket=decode_bucket(bucket),
            rate_per_s=number(rate),
            history=attempt_history.decode(history).for_job(head_id or ""),
            waits_for=(waits_for or b"").decode(errors="replace"),
            paused_ms={
                scope: int(number(since) or 0) for scope, since in zip(scopes, paused, strict=True) if since is not None
            },
            pin=None if pin is None else keyspace.unescape(pin),
            egresses=egresses,
            lanes_before=lanes_before,
            users_before=users_before,
            other_lanes=other_lanes,
            other_changes=other_changes,
        )
    )


def _live_egresses(
    announced: Iterable[tuple[bytes, float]], sessions: dict[bytes, bytes], now_ms: int, pin: str | None
) -> list[str]:
    """Return the escaped names of the egresses of workers that are alive, only the one that a user is pinned to."""
    alive = set()
    for session, row in sessions.items():
        found = _match_session(row)
        if found is not None and int(found[1]) + int(found[2]) >= now_ms:
            alive.add(session)
    names: dict[str, None] = {}
    for member, expires_ms in announced:
        egress, _, rest = member.partition(b":")
        if expires_ms >= now_ms and rest.partition(b":")[0] in alive:
            names[egress.decode(errors="replace")] = None
    return [name for name in names if pin in (None, name)][:MAX_EGRESSES]


def _fetch_queues(
    keys: Keyspace, user: str, trader: str, *, is_bulk: bool, pin: str | None, now_ms: int
) -> Plan[tuple[int, int]]:
    """Return how many lanes of the user are ready before a lane, and how many users are due before the user."""
    own = keys.bulk_lanes if is_bulk else keys.lanes
    suffixes = [""] if pin is None else ["", f":{pin}"]  # of the schedules that the workers of its egress read
    schedule = keys.bulk_schedule if is_bulk else keys.schedule
    rank, other_lanes, score, interactive_users = yield from Transaction[Any](
        ZRANK(own + user, trader),
        ZCOUNT(keys.lanes + user, "-inf", now_ms),
        ZSCORE(schedule + suffixes[-1], user),
        Transaction(*[ZCOUNT(keys.schedule + suffix, "-inf", now_ms) for suffix in suffixes]),
    )
    users_before = sum(interactive_users) if is_bulk else 0
    if score is not None:
        counts = Transaction(*[ZCOUNT(schedule + suffix, "-inf", f"({score!r}") for suffix in suffixes])
        users_before += sum((yield from counts))
    return (rank or 0) + (other_lanes if is_bulk else 0), users_before


def _fetch_other_lanes(
    keys: Keyspace, user: str, trader: str, *, is_bulk: bool, position: int
) -> Plan[tuple[int, list[int]]]:
    """Return how many other lanes of the user take turns with a lane, and how many changes the first of those have.

    Only if changes of the lane are before the one that waits. Interactive lanes are served before bulk ones.
    """
    if not position:
        return 0, []
    names = [keys.lanes + user] + ([keys.bulk_lanes + user] if is_bulk else [])
    counts, scores = yield from Transaction(
        Transaction(*[ZCOUNT(name, *bounds) for name in names for bounds in _NOT_PARKED]),
        Transaction(*[ZRANGE_WITHSCORES(name, 0, MAX_OTHER_LANES) for name in names]),
    )
    traders = [
        other for lanes in scores for other, score in lanes if other != trader.encode() and score != LaneScore.PARKED
    ]
    heads = (yield from HMGET(keys.heads + user, *traders)) if traders else []
    return sum(counts) - 1, [parse_head(head).changes for head in heads if head is not None]


def _fetch_egresses(keys: Keyspace, names: Sequence[str]) -> Plan[list[EgressFacts]]:
    if not names:
        return []
    rows, paused_since = yield from Transaction(
        Transaction(*[HMGET(keys.egress + name, *_EGRESS_FIELDS) for name in names]),
        HMGET(keys.paused, *(f"egress:{name}" for name in names)),
    )
    found = []
    for name, (reason, *times), paused in zip(names, rows, paused_since, strict=True):
        probe_at, tat, pace, user_pace = (int(number(value) or 0) for value in times)
        paused_ms = None if paused is None else int(number(paused) or 0)
        trouble = (reason or b"").decode(errors="replace")
        found.append(
            EgressFacts(keyspace.unescape(name), paused_ms, trouble, probe_at, tat=tat, pace=pace, user_pace=user_pace)
        )
    return found
