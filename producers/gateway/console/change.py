"""The screen of one change: what it sets, why it waits, its attempts and its outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from litestar import Response, get, post
from litestar.response import Redirect

from producers import (
    Attempt,
    Cancellation,
    CopySetting,
    DeadLetterNotFound,
    Job,
    JobDetails,
    JobState,
    Outcome,
    ReplayRefused,
)
from producers.contract import ids
from producers.contract.access_keys import Scope
from producers.contract.attempt_history import MAX_ATTEMPTS
from producers.contract.wording import plural
from producers.gateway.api.changes import not_found
from producers.gateway.calls.audit import log_call
from producers.gateway.calls.service import AnyRequest, gateway_of, require_id
from producers.gateway.console.actions import SEE_OTHER, confirmation, done, keys_warning
from producers.gateway.console.forms import read_form
from producers.gateway.console.live import Screen
from producers.gateway.console.rendering import link

_SETTING_FIELDS = list(zip(CopySetting.__struct_encode_fields__, CopySetting.__struct_fields__, strict=True))

INTERVAL_S = 3.0
"""Why a change waits takes some forty commands: so many a look."""

_NOTICES = {
    Cancellation.CANCELLED: "change-cancelled",
    Cancellation.IN_FLIGHT: "change-in-flight",
    Cancellation.ENDED: "change-ended",
}


class Sent(NamedTuple):
    """An attempt, and how long the change had waited before it.

    Attributes:
        attempt: the attempt.
        waited_s: seconds since the attempt before it ended, or since the change was accepted; None if that is unknown.
        after: the verdict of the attempt before it; None for the first.
    """

    attempt: Attempt
    waited_s: float | None
    after: str | None


def attempts_of(details: JobDetails) -> Iterator[Sent]:
    """Yield the attempts of a change, with how long it had waited before each."""
    is_whole = len(details.attempts) < MAX_ATTEMPTS
    free_at_ms, after = details.enqueued_at_ms if is_whole else None, None
    for attempt in details.attempts:
        yield Sent(attempt, None if free_at_ms is None else max(0, attempt.at_ms - free_at_ms) / 1000, after)
        free_at_ms, after = attempt.at_ms + attempt.took_ms, attempt.verdict


def settings_of(details: JobDetails) -> tuple[list[str], list[list[str]]]:
    """Return the settings of a change as a table: the names of the fields that one of them has, and their values."""
    settings = [] if details.change is None else details.change.settings
    used = [(wire, name) for wire, name in _SETTING_FIELDS if any(getattr(each, name) is not None for each in settings)]
    return [wire for wire, _ in used], [[getattr(each, name) or "-" for _, name in used] for each in settings]


VERDICTS = {
    "success": "applied",
    "transient": "failed, to be tried again",
    "failed": "failed",
    "throttled": "throttled by the exchange",
    "clock_skew": "refused: the clocks differ",
    "credentials": "API keys rejected",
    "permanent": "rejected",
    "ambiguous": "no reply: it may have been applied",
}
"""What the verdicts of attempts (`Attempt.verdict`) mean."""

WAITS = {
    "transient": "a pause after the failure",
    "failed": "a pause after the failure",
    "throttled": "a pause, as the exchange had throttled it",
    "clock_skew": "to be signed again by the exchange's clock",
    "credentials": "API keys that the exchange accepts",
    "ambiguous": "until the request without a reply could no longer be applied",
}
"""What a change waited for after an attempt, by its verdict."""


async def _load(request: AnyRequest) -> Mapping[str, Any]:
    details = await _details(_job_of(request, request.query_params.get("id", "")))
    result = details.status.result
    columns, rows = settings_of(details)
    return {
        "title": f"Change {details.job_id}",
        "details": details,
        "status": details.status,
        "result": result,
        "user_id": details.change.user_id if details.change else result.user_id if result else "",
        "trader_id": details.change.trader_id if details.change else result.trader_id if result else "",
        "verdicts": VERDICTS,
        "waits": WAITS,
        "columns": columns,
        "rows": rows,
        "attempts": list(attempts_of(details)),
        "max_attempts": MAX_ATTEMPTS,
        "origin": ids.replayed_from(details.job_id),
        "is_queued": details.status.state is JobState.QUEUED,
    }


def _job_of(request: AnyRequest, job_id: str) -> Job:
    require_id(request, job_id)
    return gateway_of(request).producer.job(job_id)


async def _details(job: Job) -> JobDetails:
    details = await job.details()
    if details.status.state is JobState.NOT_FOUND:
        raise not_found(job.job_id)
    return details


@get("/change/cancel", opt={"page": Scope.ENQUEUE}, include_in_schema=False)
async def ask_cancel(request: AnyRequest) -> Response[Any]:
    """Ask before a change is cancelled."""
    job = _job_of(request, request.query_params.get("id", ""))
    details = await _details(job)
    if details.status.state is JobState.DONE:
        return done(request, "/change", "change-ended", id=job.job_id)
    what = ""
    if details.change is not None:
        settings = plural(len(details.change.settings), "setting")
        what = (
            f" Its {settings} of user {details.change.user_id} for trader {details.change.trader_id} will not be set."
        )
    sent = f" It was sent {plural(len(details.attempts), 'time')} so far." if details.attempts else ""
    return confirmation(
        request,
        question=f"Cancel 1 change, {job.job_id}?{what}{sent} If it is being sent, it ends by its reply instead.",
        address=link(request, "/actions/cancel-change"),
        label="Cancel the change",
        fields={"id": job.job_id},
        back=link(request, "/change", id=job.job_id),
    )


@post("/actions/cancel-change", opt={"page": Scope.ENQUEUE}, include_in_schema=False, status_code=SEE_OTHER)
async def cancel(request: AnyRequest) -> Redirect:
    """Cancel a change that was not sent yet."""
    job = _job_of(request, (await read_form(request)).get("id", ""))
    cancellation = await job.cancel()
    if cancellation is Cancellation.NOT_FOUND:
        raise not_found(job.job_id)
    log_call(request, "cancel", f"change {job.job_id}", int(cancellation is Cancellation.CANCELLED))
    return done(request, "/change", _NOTICES[cancellation], id=job.job_id)


@get("/change/retry", opt={"page": Scope.ENQUEUE}, include_in_schema=False)
async def ask_retry(request: AnyRequest) -> Response[Any]:
    """Ask before a change that failed is enqueued again."""
    job = _job_of(request, request.query_params.get("id", ""))
    details = await _details(job)
    if not details.is_dead_letter:
        return done(request, "/change", "no-letters", id=job.job_id)
    is_unauthorized = details.status.result is not None and details.status.result.outcome is Outcome.UNAUTHORIZED
    return confirmation(
        request,
        question=f"Retry 1 change, {job.job_id}? It is enqueued again at the end of its lane, with a new job ID.",
        address=link(request, "/actions/retry-change"),
        label="Retry the change",
        fields={"id": job.job_id},
        back=link(request, "/change", id=job.job_id),
        warning=keys_warning(int(is_unauthorized)),
        see=link(request, "/user", id=details.status.result.user_id) if details.status.result else None,
    )


@post("/actions/retry-change", opt={"page": Scope.ENQUEUE}, include_in_schema=False, status_code=SEE_OTHER)
async def retry(request: AnyRequest) -> Redirect:
    """Enqueue a change that failed again."""
    job = _job_of(request, (await read_form(request)).get("id", ""))
    try:
        report = await gateway_of(request).producer.dead.replay(job.job_id)
    except DeadLetterNotFound:
        return done(request, "/change", "no-letters", id=job.job_id)
    log_call(request, "retry", f"change {job.job_id}", len(report.replayed))
    if report.refused:
        raise ReplayRefused(f"change {job.job_id} was not enqueued again: {report.refused[0][1]}")
    if not report.replayed:  # somebody else's retry came first
        return done(request, "/change", "no-letters", id=job.job_id)
    return done(request, "/change", "change-retried", id=report.replayed[0][1])


ROUTES = [
    *Screen("/change", "change.html", _load, parameters=("id",), interval_s=INTERVAL_S).routes(),
    ask_cancel,
    cancel,
    ask_retry,
    retry,
]
