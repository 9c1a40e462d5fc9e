"""The invariants: what every key of Redis must hold if the queue holds what the model says."""

from __future__ import annotations

from typing import Any

from ops.keys import KEYS
from producers.contract.codec import decode_result
from tests.properties.model import Model

Dump = dict[str, tuple[Any, int]]

LASTING = {
    KEYS.schedule, KEYS.bulk_schedule, KEYS.lanes, KEYS.wakeups, KEYS.egresses, KEYS.paused,
    KEYS.rates, KEYS.counts, KEYS.batches, KEYS.rejected_keys,
}  # fmt: skip
LASTING_PREFIXES = (KEYS.lane, KEYS.head, KEYS.job, KEYS.dead_letters)
ALIVE_PREFIXES = (KEYS.batch, KEYS.batch_members, KEYS.batch_results)
"""Keys without a TTL while a change of their batch is queued."""

CLAIMED = {b"token", b"held", b"lease"}
OF_A_HEAD = CLAIMED | {b"lapses", b"state", b"earliest", b"joins", b"solo", b"urgent"}


def check(dump: Dump, model: Model) -> None:
    """Check every invariant on a dump of Redis."""
    _covered(dump, model)
    _heads(dump, model)
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


def _covered(dump: Dump, model: Model) -> None:
    lanes = {lane: [job_id.decode() for job_id in found] for lane, found in named(dump, KEYS.lane).items()}
    assert lanes == model.queued, "lanes hold what was accepted and has not ended, in its order"
    urgent = {lane for lane, queued in model.queued.items() if not model.bulk.issuperset(queued)}
    assert _lanes_of(dump, KEYS.schedule) == urgent, "lanes with an interactive change are on the schedule"
    assert _lanes_of(dump, KEYS.bulk_schedule) == model.queued.keys() - urgent, "the other lanes on that of bulk"
    assert _lanes_of(dump, KEYS.lanes) == model.queued.keys(), "the index has all of them"
    assert len(value(dump, KEYS.wakeups, [])) <= 1


def _lanes_of(dump: Dump, key: str) -> set[str]:
    return {lane.decode() for lane in value(dump, key, {})}


def _heads(dump: Dump, model: Model) -> None:
    heads = named(dump, KEYS.head)
    assert heads.keys() <= model.queued.keys(), "an empty lane leaves no head"
    for lane, queued in model.queued.items():
        head, held = heads.get(lane, {}), model.held.get(lane)
        assert head.keys() <= OF_A_HEAD
        assert head.keys() & CLAIMED == (CLAIMED if held else set()), "a claim is on record until it is settled"
        assert held is None or (head[b"token"].decode(), int(head[b"held"])) == (held.token, len(held.offered))
        for marker in (b"joins", b"solo"):
            assert marker not in head or head[marker].decode() in queued, "a marker names a queued change"
        urgent = sum(job_id not in model.bulk for job_id in queued)
        mixed = 0 < urgent < len(queued)
        assert int(head.get(b"urgent", urgent)) == urgent
        assert b"urgent" in head or not mixed, "a lane of both kinds counts its interactive changes"


def _one_result(dump: Dump, model: Model) -> None:
    assert named(dump, KEYS.job).keys() == model.lane_of.keys(), "a payload lives until its change has ended"
    counts = {outcome.decode(): int(number) for outcome, number in value(dump, KEYS.counts, {}).items()}
    assert counts == dict(model.outcomes)
    assert all(model.ended[job_id] <= number for job_id, number in model.accepted.items())
    for job_id in named(dump, KEYS.result):
        assert job_id not in model.lane_of, "what has a result is not queued"


def _batch(dump: Dump, model: Model, batch_id: str) -> None:
    batch, fields = model.batches[batch_id], value(dump, KEYS.batch + batch_id, {})
    figures = {name: int(fields.get(name, 0)) for name in (b"total", b"ended", b"in flight")}
    in_flight = sum(held.offered[0] in batch.members for held in model.held.values())
    assert figures == {b"total": len(batch.members), b"ended": len(batch.ended), b"in flight": in_flight}
    outcomes = {name[2:].decode(): int(number) for name, number in fields.items() if name.startswith(b"o:")}
    assert outcomes == batch.outcomes
    assert (b"complete" in fields) == batch.is_complete
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
