"""Batches: their progress and results, cancelling and retrying them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter

from producers import Progress
from producers.contract.access_keys import Scope
from producers.gateway.fan_outs import BatchReport, answer, report_of
from producers.gateway.service import ACCEPTED, OK, AnyRequest, gateway_of, key_of, require_id

MAX_BATCHES = 1000
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_BATCHES)]


class CancelledMany(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many changes were cancelled, and how many were not, because they are being sent."""

    cancelled: int
    in_flight: int


@get("/batches", opt={"scope": Scope.READ})
async def list_batches(request: AnyRequest, limit: Limit = 100) -> list[Progress]:
    """Return the progress of batches, newest first."""
    found = await gateway_of(request).producer.batches(limit)
    return [progress for progress in found if key_of(request).permits_id(progress.batch_id)]


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
    return CancelledMany(cancelled=report.cancelled, in_flight=report.in_flight)


@post("/batches/{batch_id:str}/retry-failed", status_code=ACCEPTED, opt={"scope": Scope.ENQUEUE})
async def retry_failed(request: AnyRequest, batch_id: FromPath[str]) -> Response[BatchReport]:
    """Enqueue the dead letters of a batch again, as a batch of their own."""
    require_id(request, batch_id)
    batch = await gateway_of(request).producer.batch(batch_id).retry_failed()
    return answer(request, report_of(batch))


ROUTES = [list_batches, progress, cancel_batch, retry_failed]
