"""Single changes: enqueue, status and result, cancel."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromPath, QueryParameter

from producers import Job, JobNotFound, JobState, ResultTimeout
from producers.contract.access_keys import Scope
from producers.contract.messages import Attempt, JobResult, Priority, SettingsChange
from producers.contract.reader import read_change
from producers.contract.waits import Wait
from producers.gateway.calls.bodies import preferred_wait_s, read_json
from producers.gateway.calls.identity import new_id
from producers.gateway.calls.problems import NotAuthenticated
from producers.gateway.calls.service import (
    ACCEPTED,
    OK,
    REVOKED,
    AnyRequest,
    gateway_of,
    is_still_admitted,
    location,
    require_id,
    require_lane,
)
from producers.queue.cancel import Cancellation

Ttl = Annotated[float | None, QueryParameter(name="ttlS", description="Seconds after which the change ends `expired`.")]
IsCoalescing = Annotated[
    bool, QueryParameter(name="coalesce", description="Allow one request for this change and those before it.")
]
Wanted = Annotated[
    Priority, QueryParameter(name="priority", description="`bulk` lets lanes with interactive changes go first.")
]
WaitS = Annotated[
    float, QueryParameter(name="wait", ge=0, description="Seconds to wait for the result; limited by the gateway.")
]


class Enqueued(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A change that was accepted.

    Attributes:
        job_id: its ID.
        already_there: whether the same change was accepted before, under this ID; nothing was added then.
        result: its result, if the caller waited and it came in time.
    """

    job_id: str
    already_there: bool
    result: JobResult | None = None


class ChangeStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The state of a change.

    Attributes:
        job_id: its ID.
        state: "queued", "in_flight" or "done".
        position: how many changes of its lane are before it; only if queued.
        wait: why it waits; only if queued.
        result: its result; only if done.
        change: what it sets; null if that is not known. Of a change that has ended, `autoCopy` and `mode` are known
            only if it is a dead letter or of a template.
        attempts: its requests so far, oldest first, the last 20.
        enqueued_at_ms: when it was accepted, Unix milliseconds on Redis's clock; null if that is not known.
        expires_at_ms: its deadline; null if that is not known, as of most changes that have ended.
        priority: its own priority; known as long as its deadline.
        batch_id: the batch that it belongs to; null if it belongs to none.
    """

    job_id: str
    state: JobState
    position: int | None
    wait: Wait | None
    result: JobResult | None
    change: SettingsChange | None
    attempts: list[Attempt]
    enqueued_at_ms: int | None
    expires_at_ms: int | None
    priority: Priority | None
    batch_id: str | None


class Cancelled(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What cancelling did: "cancelled", "in_flight" or "ended"."""

    job_id: str
    cancellation: Cancellation


@post("/changes", status_code=ACCEPTED, opt={"scope": Scope.ENQUEUE})
async def enqueue(
    request: AnyRequest,
    ttl_s: Ttl = None,
    priority: Wanted = Priority.INTERACTIVE,
    coalesce: IsCoalescing = False,
) -> Response[Enqueued]:
    """Put one change into the queue.

    With the header `Idempotency-Key`, the same call again adds nothing and answers as the first time. With `Prefer:
    wait=N` the answer is 200 with the result, if it comes within N seconds.
    """
    gateway = gateway_of(request)
    change = read_change(await read_json(request, gateway.settings.gateway_body_bytes))
    require_lane(request, change.user_id, change.trader_id)
    job_id = new_id(request)
    job = await gateway.producer.enqueue(change, job_id=job_id, ttl_s=ttl_s, priority=priority, coalesce=coalesce)
    headers = {"Location": location(request, "/v1/changes", job.job_id)}
    wait_s = preferred_wait_s(request, gateway.settings.gateway_wait_s)
    result = await _result_within(job, wait_s) if wait_s else None
    if job.already_there and result is None:
        result = (await job.status()).result
    if wait_s and not await is_still_admitted(request):
        result = None
    if wait_s:
        headers["Preference-Applied"] = f"wait={wait_s:g}"
    content = Enqueued(job_id=job.job_id, already_there=job.already_there, result=result)
    return Response(content, status_code=ACCEPTED if result is None else OK, headers=headers)


@get("/changes/{job_id:str}", opt={"scope": Scope.READ})
async def status(request: AnyRequest, job_id: FromPath[str], wait: WaitS = 0.0) -> ChangeStatus:
    """Return the state of a change, why it waits if it is queued, its attempts so far, and its result if it has ended.

    With `wait`, or `Prefer: wait=N`, the answer comes when the change has ended, or after so many seconds.
    """
    require_id(request, job_id)
    settings = gateway_of(request).settings
    job = gateway_of(request).producer.job(job_id)
    wait_s = max(min(wait, settings.gateway_wait_s), preferred_wait_s(request, settings.gateway_wait_s))
    if wait_s:
        await _result_within(job, wait_s)
        if not await is_still_admitted(request):
            raise NotAuthenticated(REVOKED)
    found = await job.details()
    if found.status.state is JobState.NOT_FOUND:
        raise not_found(job_id)
    return ChangeStatus(
        job_id=job_id,
        state=found.status.state,
        position=found.status.position,
        wait=found.status.wait,
        result=found.status.result,
        change=found.change,
        attempts=found.attempts,
        enqueued_at_ms=found.enqueued_at_ms,
        expires_at_ms=found.expires_at_ms,
        priority=found.priority,
        batch_id=found.batch_id,
    )


@delete("/changes/{job_id:str}", status_code=OK, opt={"scope": Scope.ENQUEUE})
async def cancel(request: AnyRequest, job_id: FromPath[str]) -> Cancelled:
    """Cancel a change that was not sent yet. One that is being sent ends by its reply, one that had ended stays."""
    require_id(request, job_id)
    cancellation = await gateway_of(request).producer.job(job_id).cancel()
    if cancellation is Cancellation.NOT_FOUND:
        raise not_found(job_id)
    return Cancelled(job_id=job_id, cancellation=cancellation)


def not_found(job_id: str) -> JobNotFound:
    """Return the error of a change that is not there."""
    return JobNotFound(f"no change {job_id}: it was never accepted, or its result has expired")


async def _result_within(job: Job, wait_s: float) -> JobResult | None:
    try:
        return await job.result(timeout=wait_s)
    except ResultTimeout:
        return None


ROUTES = [enqueue, status, cancel]
