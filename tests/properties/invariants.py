"""The invariants: what every key of Redis must hold if the queue holds what the model says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ops.keys import KEYS
from producers.contract.codec import decode_result
from producers.queue.bucket import decode_bucket
from producers.queue.lanes import LaneScore
from tests.properties.model import Model

Dump = dict[str, tuple[Any, int]]

LASTING = {
    KEYS.layout, KEYS.schedule, KEYS.bulk_schedule, KEYS.wakeups, KEYS.egresses, KEYS.paused, KEYS.resuming,
    KEYS.rates, KEYS.counts, KEYS.batches, KEYS.rejected_keys, KEYS.sessions, KEYS.pins, KEYS.pinned,
}  # fmt: skip
OF_LANES = (KEYS.lanes, KEYS.bulk_lanes, KEYS.heads, KEYS.rest, KEYS.attempts, KEYS.held, KEYS.parked)
OF_PINNED = (f"{KEYS.schedule}:", f"{KEYS.bulk_schedule}:")
LASTING_PREFIXES = (*OF_LANES, *OF_PINNED, KEYS.job, KEYS.dead_letters)
ALIVE_PREFIXES = (KEYS.batch, KEYS.batch_members, KEYS.batch_results)
"""Keys without a TTL while a change of their batch is queued."""

OF_ATTEMPTS = {b"history", b"lost_deliveries", b"alone_until", b"sent_until", b"waits_for", b"is_torn"}


def check(dump: Dump, model: Model, pins: Mapping[str, str]) -> None:
    """Check every invariant on a dump of Redis; `pins` has the egress of each pinned user."""
    _pinned(dump, pins)
    _covered(dump, model, pins)
    _lanes(dump, model)
    _fenced(dump, model)
    _one_result(dump, model)
    for batch_id in model.batches:
        _batch(dump, model, batch_id)
    _bounded(dump, model)


def value(dump: Dump, key: str, nothing: Any) -> Any:
    """Return the value of a key, or `nothing`."""
    return dump[key][0] if key in dump else nothing


def named(dump: Dump, prefix: str) -> dict[str, Any]:
    """Return the values of all keys with a prefix, by what follows it."""
    return {key.removeprefix(prefix): found for key, (found, _) in dump.items() if key.startswith(prefix)}


def _pinned(dump: Dump, pins: Mapping[str, str]) -> None:
    """Check that a user is in no schedule but those of its egress, and that users are counted by egress."""
    stored = {user.decode(): egress.decode() for user, egress in value(dump, KEYS.pins, {}).items()}
    assert stored == pins
    counts = {egress.decode(): int(number) for egress, number in value(dump, KEYS.pinned, {}).items()}
    assert counts == Counter(pins.values())
    for schedule in (KEYS.schedule, KEYS.bulk_schedule):
        assert not {user.decode() for user in value(dump, schedule, {})} & pins.keys()
        for egress, users in named(dump, f"{schedule}:").items():
            assert all(pins.get(user.decode()) == egress for user in users), f"{schedule}:{egress} has others' users"


def _covered(dump: Dump, model: Model, pins: Mapping[str, str]) -> None:
    users = {lane.partition(":")[0] for lane in model.queued}
    assert users == set(named(dump, KEYS.heads)), "users without a change leave nothing"
    for user in users:
        _user(dump, model, user, pins.get(user))
    assert len(value(dump, KEYS.wakeups, [])) <= 1


def _user(dump: Dump, model: Model, user: str, egress: str | None) -> None:
    """Check that each lane of a user is in flight, parked, or reachable from a schedule."""
    heads, paused = value(dump, KEYS.heads + user, {}), value(dump, KEYS.paused, {})
    in_flight = any(lane.partition(":")[0] == user for lane in model.held)
    bucket = value(dump, KEYS.bucket_of(user), None)
    waits = in_flight and (bucket is None or decode_bucket(bucket).waits)  # the settlement schedules the user
    excused = waits or f"user:{user}".encode() in paused
    lanes = set()
    for prefix, schedule in ((KEYS.lanes, KEYS.schedule), (KEYS.bulk_lanes, KEYS.bulk_schedule)):
        for trader, score in value(dump, prefix + user, {}).items():
            lane = f"{user}:{trader.decode()}"
            lanes.add(lane)
            is_interactive = not model.bulk.issuperset(model.queued[lane])
            assert is_interactive == (prefix == KEYS.lanes), f"{lane} is in the set of its priority"
            assert (float(score) == LaneScore.IN_FLIGHT) == (lane in model.held), f"{lane} is in flight, or not"
            if float(score) == LaneScore.PARKED:
                assert b"trader:" + trader in paused, f"{lane} is parked although its trader is not paused"
                assert user.encode() in value(dump, KEYS.parked + trader.decode(), set())
            elif float(score) < LaneScore.PARKED:
                read = schedule if egress is None else f"{schedule}:{egress}"
                assert excused or user.encode() in value(dump, read, {}), f"nothing will claim {lane}"
    assert lanes == {f"{user}:{trader.decode()}" for trader in heads}, "the sets of a user are the index of its lanes"


def _lanes(dump: Dump, model: Model) -> None:
    """Check the entries of each lane, its counts, and what is known of its head's attempts."""
    rests, attempts = named(dump, KEYS.rest), named(dump, KEYS.attempts)
    assert rests.keys() == {lane for lane, queued in model.queued.items() if len(queued) > 1}
    assert attempts.keys() <= model.queued.keys(), "an empty lane leaves nothing"
    for lane, queued in model.queued.items():
        user, _, trader = lane.partition(":")
        changes, interactive, coalescable, attempted, *head = (
            value(dump, KEYS.heads + user, {})[trader.encode()].decode().split()
        )
        entries = [tuple(head), *(tuple(entry.decode().split()) for entry in rests.get(lane, []))]
        assert [job_id for _, job_id in entries] == queued, "lanes hold what was accepted and has not ended, in order"
        assert all(("b" in flags) == (job_id in model.bulk) for flags, job_id in entries)
        counted = [len(queued), sum("i" in flags for flags, _ in entries), sum("c" in flags for flags, _ in entries)]
        assert [int(changes), int(interactive), int(coalescable)] == counted
        known = attempts.get(lane, {})
        assert known.keys() <= OF_ATTEMPTS
        assert not known or attempted == "1", "the head says that there is more to read"
        assert int(known.get(b"lost_deliveries", 0)) == model.lost_deliveries.get(lane, 0)
        for marker in (b"alone_until", b"sent_until"):
            assert known.get(marker, queued[0].encode()).decode() in queued, "a marker names a queued change"


def _fenced(dump: Dump, model: Model) -> None:
    held = {
        (lane.decode(), session, claim.split()[0].decode())
        for session, lanes in named(dump, KEYS.held).items()
        for lane, claim in lanes.items()
    }
    assert held == {(lane, each.session, each.token) for lane, each in model.held.items()}, "a lane has one session"
    rows = {session.decode() for session in value(dump, KEYS.sessions, {})} - {"clock"}
    assert rows == model.sessions.rows.keys(), "sessions that have lapsed are gone, and no other"
    assert {session for _, session, _ in held} <= rows, "what is in flight belongs to a session"


def _one_result(dump: Dump, model: Model) -> None:
    assert named(dump, KEYS.job).keys() == model.lane_of.keys() - model.templated, (
        "a payload lives until its change has ended"
    )
    counts = {outcome.decode(): int(number) for outcome, number in value(dump, KEYS.counts, {}).items()}
    assert counts == dict(model.outcomes)
    assert all(model.ended[job_id] <= number for job_id, number in model.accepted.items())
    for job_id in named(dump, KEYS.result):
        assert job_id not in model.lane_of, "what has a result is not queued"


def _batch(dump: Dump, model: Model, batch_id: str) -> None:
    batch, fields = model.batches[batch_id], value(dump, KEYS.batch + batch_id, {})
    figures = {name: int(fields.get(name, 0)) for name in (b"total", b"finished", b"in_flight")}
    in_flight = sum(held.job_id in batch.members for held in model.held.values())
    assert figures == {b"total": len(batch.members), b"finished": len(batch.ended), b"in_flight": in_flight}
    outcomes = {
        name.removeprefix(b"outcome_").decode(): int(number)
        for name, number in fields.items()
        if name.startswith(b"outcome_")
    }
    assert outcomes == batch.outcomes
    assert (b"completed_at" in fields) == batch.is_complete
    stream = [
        dict(zip(entry[::2], entry[1::2], strict=True)) for _, entry in value(dump, KEYS.batch_results + batch_id, [])
    ]
    announced = [entry[b"job"].decode() for entry in stream if b"job" in entry]
    assert announced == batch.ended, "the stream has each result once, in the order of settlement"
    assert [b"end" in entry for entry in stream].count(True) == batch.is_complete
    assert not batch.is_complete or b"end" in stream[-1]


def _bounded(dump: Dump, model: Model) -> None:
    alive = {batch_id for batch_id, batch in model.batches.items() if not batch.is_over}
    for key, (_, left_ms) in dump.items():
        owner = next((key.removeprefix(prefix) for prefix in ALIVE_PREFIXES if key.startswith(prefix)), None)
        if key == KEYS.batches or owner is None:
            lasts = key in LASTING or key.startswith(LASTING_PREFIXES)
        else:
            lasts = owner in alive
        assert (left_ms < 0) == lasts, f"{key} has {'no' if left_ms < 0 else 'a'} life"


def outcome(dump: Dump, job_id: str) -> str:
    """Return the outcome in a change's result."""
    return decode_result(value(dump, KEYS.result + job_id, b"")).outcome.value
