"""Batches: their progress and results, cancelling and retrying them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter

from producers import Progress
from producers.contract.access_keys import Scope
from producers.gateway.api.fan_outs import BatchReport, answer, report_of
from producers.gateway.calls.audit import log_call
from producers.gateway.calls.identity import MAX_BATCH_KEY_CHARS, new_id
from producers.gateway.calls.service import ACCEPTED, OK, AnyRequest, gateway_of, key_of, next_page, require_id

MAX_BATCHES = 1000
MAX_SKIPPED = 1_000_000

Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_BATCHES)]

Skip = Annotated[int, QueryParameter(name="skip", ge=0, le=MAX_SKIPPED)]


class CancelledMany(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many changes were cancelled, and how many were not, because they are being sent."""

    cancelled: int
    in_flight: int


@get("/batches", opt={"scope": Scope.READ})
async def list_batches(request: AnyRequest, limit: Limit = 100, skip: Skip = 0) -> Response[list[Progress]]:
    """Return the progress of batches, newest first. The header Link has the next page, if there is one.

    Those of a key that is bound are looked for among the newest 10,000 of all.
    """
    found, has_more = await permitted_batches(request, limit, skip)
    return Response(found, headers=next_page(request, limit=limit, skip=skip + limit) if has_more else None)


async def permitted_batches(request: AnyRequest, limit: int, skip: int) -> tuple[list[Progress], bool]:
    """Return the newest batches that a key may see, after the first `skip` of them, and whether there are more."""
    prefix = key_of(request).id_prefix
    found = await gateway_of(request).producer.batches(limit + 1, skip=skip, prefix=prefix)
    return found[:limit], len(found) + found.malformed > limit


@get("/batches/{batch_id:str}", opt={"scope": Scope.READ})
async def progress(request: AnyRequest, batch_id: FromPath[str]) -> Progress:
    """Return the counters of a batch, and an estimate of its end."""
    require_id(request, batch_id)
    return await gateway_of(request).producer.batch(batch_id).progress()


@post("/batches/{batch_id:str}/cancel", status_code=OK, opt={"scope": Scope.ENQUEUE})
async def cancel_batch(request: AnyRequest, batch_id: FromPath[str]) -> CancelledMany:
    """Cancel a batch: its queued changes end `cancelled`, and no change can be added to it."""
    require_id(request, batch_id)
    report = await gateway_of(request).producer.batch(batch_id).cancel()
    log_call(request, "cancel", f"batch {batch_id}", report.cancelled)
    return CancelledMany(cancelled=report.cancelled, in_flight=report.in_flight)


@post("/batches/{batch_id:str}/retry-failed", status_code=ACCEPTED, opt={"scope": Scope.ENQUEUE})
async def retry_failed(request: AnyRequest, batch_id: FromPath[str]) -> Response[BatchReport]:
    """Enqueue the dead letters of a batch again, as a batch of their own.

    With an Idempotency-Key, which gives the new batch its ID, a call that is repeated answers with the same batch.
    """
    require_id(request, batch_id)
    new_batch_id = new_id(request, MAX_BATCH_KEY_CHARS) if "idempotency-key" in request.headers else None
    batch = await gateway_of(request).producer.batch(batch_id).retry_failed(batch_id=new_batch_id)
    report = report_of(batch)
    log_call(request, "retry", f"batch {batch_id}", report.accepted)
    return answer(request, report)


ROUTES = [list_batches, progress, cancel_batch, retry_failed]
