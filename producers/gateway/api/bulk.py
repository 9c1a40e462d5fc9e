"""Many changes at once, without a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from litestar import post
from litestar.params import QueryParameter

from producers import Producer
from producers.client.shard import Shard, find_refused
from producers.contract.access_keys import AccessKey, Scope
from producers.contract.keyspace import Keyspace
from producers.contract.messages import Priority, SettingsChange
from producers.contract.reader import read_change
from producers.errors import InvalidChange, Refusal
from producers.gateway.api.changes import IsCoalescing, Ttl, Wanted
from producers.gateway.calls.bodies import JSON, NDJSON, decode, media_type, read_body
from producers.gateway.calls.identity import MAX_BULK_KEY_CHARS, new_id
from producers.gateway.calls.items import check_items, nothing_enqueued
from producers.gateway.calls.problem_document import RowProblem
from producers.gateway.calls.service import ACCEPTED, AnyRequest, gateway_of, key_of
from producers.queue.fan_out import LANE_BATCH_SIZE, refuse_full_lanes
from producers.queue.slicing import slices
from producers.queue.submit import SubmitOptions
from producers.transport.commands import EXISTS
from producers.transport.plan import Plan, Transaction


class EnqueuedItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A change that was accepted with others.

    Attributes:
        index: its place in the body, from 0.
        job_id: its ID.
        already_there: whether the same change was accepted before, under this ID; nothing was added then.
    """

    index: int
    job_id: str
    already_there: bool


class EnqueuedMany(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of many changes.

    Attributes:
        accepted: how many are in the queue now, those that were there before included.
        jobs: those, in the given order.
        refused: the others, by their place from 0.
        refused_left_out: how many more there are.
    """

    accepted: int
    jobs: list[EnqueuedItem]
    refused: list[RowProblem]
    refused_left_out: int = 0


@post("/changes:bulk", status_code=ACCEPTED, opt={"scope": Scope.ENQUEUE})
async def enqueue_many(
    request: AnyRequest,
    ttl_s: Ttl = None,
    priority: Wanted = Priority.INTERACTIVE,
    coalesce: IsCoalescing = False,
    all_or_nothing: Annotated[
        bool,
        QueryParameter(
            name="allOrNothing", description="Enqueue nothing if one change is invalid, or its lane is full now."
        ),
    ] = False,
) -> EnqueuedMany:
    """Put many changes into the queue, in the given order: a JSON array of changes, or one change a line (NDJSON).

    With the header `Idempotency-Key`, the same body again adds only what is missing. A change that breaks a rule, or
    whose lane is full, is listed in `refused`, and the others are enqueued.
    """
    gateway = gateway_of(request)
    limits = gateway.settings
    kind = media_type(request, JSON, NDJSON)
    body = await read_body(request, limits.gateway_body_bytes)
    items: list[Any] = (
        decode(body, list[msgspec.Raw]) if kind == JSON else [line for line in body.split(b"\n") if line.strip()]
    )
    base, key = new_id(request, MAX_BULK_KEY_CHARS), key_of(request)
    checked = await check_items(
        items, lambda item: _permitted(key, item, kind), most=limits.gateway_rows, all_or_nothing=all_or_nothing
    )
    places = {id(change): place for change, place in zip(checked.valid, checked.places, strict=True)}
    job_ids = [f"{base},{place}" for place in checked.places]
    if all_or_nothing and (full := await _full_lanes(gateway.producer, checked.valid, job_ids)):
        raise nothing_enqueued(checked, full, together=True)
    report = await gateway.producer.enqueue_many(
        checked.valid,
        job_id=lambda change: f"{base},{places[id(change)]}",
        ttl_s=ttl_s,
        priority=priority,
        coalesce=coalesce,
    )
    if report.refused and not report.jobs:
        raise nothing_enqueued(checked, report.refused)
    refused_places = {refusal.index for refusal in report.refused}
    accepted_places = [place for index, place in enumerate(checked.places) if index not in refused_places]
    jobs = [
        EnqueuedItem(index=place, job_id=job.job_id, already_there=job.already_there)
        for place, job in zip(accepted_places, report.jobs, strict=True)
    ]
    refused = checked.refused(report.refused)
    left_out = checked.invalid + len(report.refused) - len(refused)
    return EnqueuedMany(accepted=len(jobs), jobs=jobs, refused=refused, refused_left_out=left_out)


async def _full_lanes(producer: Producer, changes: list[SettingsChange], job_ids: list[str]) -> list[Refusal]:
    shards, options = producer._shards, SubmitOptions(producer._settings.lane_limit)  # noqa: SLF001 - as the feed of events

    def look(shard: Shard, places: Sequence[int]) -> Plan[list[Refusal]]:
        own, own_ids = [changes[place] for place in places], [job_ids[place] for place in places]
        return new_in_full_lanes(shard.keys, own, own_ids, options)

    return await find_refused(shards, [change.user_id for change in changes], look, "looking for full lanes")


def new_in_full_lanes(
    keys: Keyspace, changes: Sequence[SettingsChange], job_ids: Sequence[str], options: SubmitOptions
) -> Plan[list[Refusal]]:
    """Return a refusal of each change that was not accepted before and has a full lane, so that a call can be repeated.

    Args:
        keys: the keys of the queue.
        changes: all changes of the call.
        job_ids: their IDs.
        options: how many changes a lane may hold.
    """
    if not (yield from refuse_full_lanes(keys, changes, options)):
        return []
    new: list[int] = []
    for places in slices(range(len(changes)), LANE_BATCH_SIZE):
        found = yield from Transaction(*[EXISTS(keys.job + job_ids[at], keys.result + job_ids[at]) for at in places])
        new += [place for place, count in zip(places, found, strict=True) if not count]
    refused = yield from refuse_full_lanes(keys, [changes[place] for place in new], options)
    return [replace(refusal, index=new[refusal.index]) for refusal in refused]


def _permitted(key: AccessKey, item: bytes, kind: str) -> SettingsChange:
    try:
        change = read_change(bytes(item))
    except InvalidChange as exc:
        if kind == NDJSON and exc.field == "body":
            rule = f"{exc.rule}: one change a line; curl sends a file as it is with --data-binary, not with --data"
            raise InvalidChange(exc.field, rule, exc.value) from exc
        raise
    if not key.permits_lane(change.user_id, change.trader_id):
        raise InvalidChange("userId", "is not one that the access key is for", change.user_id)
    return change


ROUTES = [enqueue_many]
