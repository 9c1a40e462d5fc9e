"""The screen of one batch: its progress, why changes failed, its results, and what can be done with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from litestar import Response, get, post
from litestar.response import Redirect, Stream

from producers import Batch, DeadLetterNotFound, InvalidChange, Outcome, Progress
from producers.cli.text import format_count
from producers.contract.access_keys import Scope
from producers.contract.messages import JobResult
from producers.contract.validation import check_user_id
from producers.contract.wording import plural
from producers.gateway.api.results import export
from producers.gateway.calls.audit import log_call
from producers.gateway.calls.bodies import CSV, NDJSON
from producers.gateway.calls.service import AnyRequest, gateway_of, require_id
from producers.gateway.console.actions import SEE_OTHER, confirmation, done
from producers.gateway.console.batches import state_of
from producers.gateway.console.causes import FAILED, cause_counts_of
from producers.gateway.console.forms import read_form
from producers.gateway.console.live import Screen
from producers.gateway.console.rendering import HEADERS, link
from producers.gateway.console.sessions import is_signed_in
from producers.queue.finish import DEAD_OUTCOMES
from producers.queue.jobs import JobState, JobStatus
from producers.queue.results import format_cursor

SHOWN_RESULTS, SHOWN_CAUSES = 50, 20

SEARCHED_PAGES, SEARCHED_PAGE = 2, 1000
"""Results that a page looks through for those of a user or an outcome."""

_FORMATS = {"csv": CSV, "ndjson": NDJSON}
_replace_unsafe = re.compile(r"[^A-Za-z0-9._-]+").sub


@dataclass(slots=True)
class Rows:
    """The results that a page shows.

    Attributes:
        results: the results.
        cursor: where the next page starts.
        complete: whether there will be none after these.
        looked_at_all: whether the results that exist now were looked at to their end.
        job_id: the change of the user that is searched, if its ID is known.
        status: what became of that change.
    """

    results: list[JobResult] = field(default_factory=list)
    cursor: str | None = None
    complete: bool = False
    looked_at_all: bool = True
    job_id: str | None = None
    status: JobStatus | None = None


async def _load(request: AnyRequest) -> Mapping[str, Any]:
    batch = _batch_of(request, request.query_params.get("id", ""))
    after, user_id = request.query_params.get("after") or None, request.query_params.get("user") or None
    outcome = _outcome(request.query_params.get("outcome") or None)
    progress = await batch.progress()
    causes = cause_counts_of(request).causes_of(progress)
    failed = sum(progress.outcomes.get(name, 0) for name in FAILED)
    if causes.counted < failed:
        await causes.read_on(batch)
    rows = await _rows(request, batch, after, outcome, user_id)
    return {
        "title": f"Batch {batch.batch_id}",
        "section": "/batches",
        "progress": progress,
        "state": state_of(progress),
        "dead": _dead(progress),
        "failed": failed,
        "causes": causes,
        "shown_causes": SHOWN_CAUSES,
        "rows": rows,
        "searched": SEARCHED_PAGES * SEARCHED_PAGE,
        "after": after,
        "user_id": user_id,
        "outcome": outcome,
        "outcomes": list(Outcome),
    }


async def _rows(
    request: AnyRequest, batch: Batch, after: str | None, outcome: Outcome | None, user_id: str | None
) -> Rows:
    if user_id is not None:
        check_user_id(user_id)
        job_id = await batch.job_id_of(user_id)
        if job_id is not None:
            status = await gateway_of(request).producer.job(job_id).status()
            return Rows(
                [] if status.result is None else [status.result],
                job_id=None if status.state is JobState.NOT_FOUND else job_id,
                status=status,
            )
    if user_id is None and outcome is None:
        page = await batch.page(after, SHOWN_RESULTS)
        return Rows(page.results, page.cursor, page.complete, len(page.results) < SHOWN_RESULTS)
    return await _search(batch, after, outcome, user_id)


async def _search(batch: Batch, after: str | None, outcome: Outcome | None, user_id: str | None) -> Rows:
    """Return the next results of a user or an outcome, among the next `SEARCHED_PAGES` pages."""
    rows = Rows(cursor=after, looked_at_all=False)
    outcomes = None if outcome is None else (outcome,)
    for _ in range(SEARCHED_PAGES):
        page = await batch.page(rows.cursor, SEARCHED_PAGE, outcomes=outcomes)
        for result, position in zip(page.results, page.positions, strict=True):
            if user_id is None or result.user_id == user_id:
                rows.results.append(result)
                if len(rows.results) == SHOWN_RESULTS:
                    rows.cursor = format_cursor(batch.batch_id, position)
                    return rows
        has_moved, rows.cursor, rows.complete = page.cursor != rows.cursor, page.cursor, page.complete
        if page.complete or not has_moved:
            rows.looked_at_all = True
            break
    return rows


def _batch_of(request: AnyRequest, batch_id: str) -> Batch:
    require_id(request, batch_id)
    return gateway_of(request).producer.batch(batch_id)


def _outcome(text: str | None) -> Outcome | None:
    try:
        return None if text is None else Outcome(text)
    except ValueError as exc:
        raise InvalidChange("outcome", f"must be one of {', '.join(Outcome)}", text) from exc


@get("/batch/export", opt={"page": Scope.READ}, include_in_schema=False)
async def export_results(request: AnyRequest) -> Stream:
    """Send all results that exist now as a file."""
    batch = _batch_of(request, request.query_params.get("id", ""))
    wanted = request.query_params.get("format", "csv")
    if wanted not in _FORMATS:
        raise InvalidChange("format", f"must be one of {', '.join(_FORMATS)}", wanted)
    name = _replace_unsafe("_", batch.batch_id)
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}.{wanted}"'}
    return export(request, batch, await batch.page(), _FORMATS[wanted], headers, is_admitted=is_signed_in)


@get("/batch/cancel", opt={"page": Scope.ENQUEUE}, include_in_schema=False)
async def ask_cancel(request: AnyRequest) -> Response[bytes]:
    """Ask before a batch is cancelled."""
    batch = _batch_of(request, request.query_params.get("id", ""))
    progress = await batch.progress()
    question = (
        f"Cancel batch {batch.batch_id}? {plural(progress.queued, 'queued change')} of {format_count(progress.total)}"
        f" will end cancelled, {plural(progress.in_flight, 'request')} in flight will not, and no change can be added."
    )
    return _confirmation(request, batch, question, "/actions/cancel-batch", "Cancel the batch")


@post("/actions/cancel-batch", opt={"page": Scope.ENQUEUE}, include_in_schema=False, status_code=SEE_OTHER)
async def cancel(request: AnyRequest) -> Redirect:
    """Cancel the queued changes of a batch."""
    batch = _batch_of(request, (await read_form(request)).get("id", ""))
    report = await batch.cancel()
    log_call(request, "cancel", f"batch {batch.batch_id}", report.cancelled)
    counts = {"count": report.cancelled, "others": report.in_flight}
    return done(request, "/batch", "batch-cancelled", id=batch.batch_id, **counts)


@get("/batch/retry", opt={"page": Scope.ENQUEUE}, include_in_schema=False)
async def ask_retry(request: AnyRequest) -> Response[Any]:
    """Ask before the failed changes of a batch are enqueued again."""
    batch = _batch_of(request, request.query_params.get("id", ""))
    await batch.progress()  # refuses an unknown batch
    count = await gateway_of(request).producer.dead.count(batch_id=batch.batch_id)
    if not count:
        return done(request, "/batch", "nothing-failed", id=batch.batch_id)
    label = f"Retry {plural(count, 'failed change')}"
    question = f"{label} of batch {batch.batch_id}? They are enqueued again, as a batch of their own."
    return _confirmation(request, batch, question, "/actions/retry-batch", label)


@post("/actions/retry-batch", opt={"page": Scope.ENQUEUE}, include_in_schema=False, status_code=SEE_OTHER)
async def retry(request: AnyRequest) -> Redirect:
    """Enqueue the dead letters of a batch again, as a batch of their own."""
    batch = _batch_of(request, (await read_form(request)).get("id", ""))
    try:
        new = await batch.retry_failed()
    except DeadLetterNotFound:
        return done(request, "/batch", "nothing-failed", id=batch.batch_id)
    accepted, refused = (0, 0) if new.report is None else (new.report.accepted, len(new.report.refused))
    log_call(request, "retry", f"batch {batch.batch_id}", accepted)
    return done(request, "/batch", "batch-retried", id=new.batch_id, count=accepted, others=refused)


def _confirmation(request: AnyRequest, batch: Batch, question: str, path: str, label: str) -> Response[bytes]:
    return confirmation(
        request,
        question=question,
        address=link(request, path),
        label=label,
        fields={"id": batch.batch_id},
        back=link(request, "/batch", id=batch.batch_id),
    )


def _dead(progress: Progress) -> int:
    return sum(progress.outcomes.get(outcome, 0) for outcome in DEAD_OUTCOMES)


ROUTES = [
    *Screen("/batch", "batch.html", _load, parameters=("id", "after", "user", "outcome")).routes(),
    export_results,
    ask_cancel,
    cancel,
    ask_retry,
    retry,
]
