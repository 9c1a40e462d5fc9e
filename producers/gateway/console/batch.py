"""The screen of one batch: its progress, why changes failed, its results, and what can be done with it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from litestar import Response, get, post
from litestar.response import Redirect, Stream

from producers import Batch, InvalidChange, JobDetails, JobNotFound, Outcome, Progress
from producers.cli.text import format_count, format_duration
from producers.contract.access_keys import Scope
from producers.contract.validation import MAX_BATCH_ID_CHARS
from producers.contract.wording import plural
from producers.gateway.api.results import export
from producers.gateway.calls.audit import log_call
from producers.gateway.calls.bodies import CSV, NDJSON
from producers.gateway.calls.service import AnyRequest, gateway_of, key_of, require_id
from producers.gateway.console import batch_results
from producers.gateway.console.actions import GOES_ON, SEE_OTHER, confirmation, done, keys_warning
from producers.gateway.console.batch_results import rows_of
from producers.gateway.console.batches import state_of
from producers.gateway.console.causes import FAILED, cause_counts_of
from producers.gateway.console.forms import read_form
from producers.gateway.console.letters import cause_of, read_filters, retry_batch
from producers.gateway.console.live import Screen
from producers.gateway.console.rendering import HEADERS, link
from producers.gateway.console.sessions import is_signed_in
from producers.queue.finish import DEAD_OUTCOMES

SHOWN_CAUSES = 20

REASON_S = 6.0
"""How old the reason may be for which a batch that is watched waits."""

CANCELLED_PER_S = 1000
"""Changes that end cancelled a second, while workers send: measured with 190,000 of them."""

_FORMATS = {"csv": CSV, "ndjson": NDJSON}
_match_retry = re.compile(r"(.+)\.retry-[0-9a-f]{8}").fullmatch
_replace_unsafe = re.compile(r"[^A-Za-z0-9._-]+").sub


class _Waiting(NamedTuple):
    """The change that a batch waits for, as it was read."""

    job_id: str
    read_at_s: float
    details: JobDetails


_WAITING = "console_waiting"


async def _load(request: AnyRequest) -> Mapping[str, Any]:
    batch = _batch_of(request, request.query_params.get("id", ""))
    after, user_id = request.query_params.get("after") or None, request.query_params.get("user") or None
    outcome = _outcome(request.query_params.get("outcome") or None)
    progress = await batch.progress()
    causes = cause_counts_of(request).causes_of(progress)
    failed = sum(progress.outcomes.get(name, 0) for name in FAILED)
    if causes.counted < failed:
        await causes.read_on(batch)
    code = request.query_params.get("code") or None
    rows = await rows_of(request, batch, after, outcome, user_id, code)
    return {
        "title": f"Batch {batch.batch_id}",
        "section": "/batches",
        "progress": progress,
        "state": state_of(progress),
        "has_dead": await _has_dead_letters(request, progress),
        "waiting": await _waiting(request, progress),
        "origin": _origin(progress.batch_id),
        "failed": failed,
        "causes": causes,
        "shown_causes": SHOWN_CAUSES,
        "dead_outcomes": DEAD_OUTCOMES,
        "rows": rows,
        "searched": batch_results.SEARCHED_PAGES * batch_results.SEARCHED_PAGE,
        "after": after,
        "user_id": user_id,
        "outcome": outcome,
        "code": code,
        "outcomes": list(Outcome),
    }


async def _waiting(request: AnyRequest, progress: Progress) -> JobDetails | None:
    """Return the change that a batch waits for; None if its requests are in flight, or the reader may not know.

    The looks of an event stream read it every `REASON_S`: it takes most of their commands.
    """
    job_id = progress.waits_for
    if progress.complete or progress.in_flight or job_id is None or not key_of(request).permits_id(job_id):
        return None
    seen: _Waiting | None = request.state.get(_WAITING)
    if seen is not None and seen.job_id == job_id and time.monotonic() - seen.read_at_s < REASON_S:
        return seen.details
    try:
        details = await gateway_of(request).producer.job(job_id).details()
    except JobNotFound:
        return None
    request.state[_WAITING] = _Waiting(job_id, time.monotonic(), details)
    return details


async def _has_dead_letters(request: AnyRequest, progress: Progress) -> bool:
    """Return whether dead letters of a batch are left, as far as the newest of all tell."""
    if not any(progress.outcomes.get(outcome) for outcome in DEAD_OUTCOMES):
        return False
    page = await gateway_of(request).producer.dead.page(limit=1, batch_id=progress.batch_id)
    return bool(page.letters) or page.next_us is not None


def _origin(batch_id: str) -> str | None:
    """Return the batch whose failed changes a batch retries, by its ID; None if it does not tell."""
    found = _match_retry(batch_id)
    return found[1] if found and len(batch_id) < MAX_BATCH_ID_CHARS else None


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
    label, which = ("Cancel the rest", "the rest of batch") if progress.cancelled else ("Cancel the batch", "batch")
    takes_s = progress.queued / CANCELLED_PER_S
    takes = f" It may take {format_duration(takes_s)}." if takes_s >= 1 else ""
    question = (
        f"Cancel {which} {batch.batch_id}? {plural(progress.queued, 'queued change')} of"
        f" {format_count(progress.total)} will end cancelled, {plural(progress.in_flight, 'request')} in flight will"
        f" not, and no change can be added. From then on, none of them is sent.{takes} {GOES_ON}"
    )
    return _confirmation(request, batch, question, "/actions/cancel-batch", label)


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
    """Ask before the failed changes of a batch, or those of a cause, are enqueued again."""
    batch = _batch_of(request, request.query_params.get("id", ""))
    await batch.progress()  # refuses an unknown batch
    given = _failures(batch, request.query_params)
    retry = await batch.next_retry(**cause_of(given))
    if retry is None:
        return done(request, "/batch", "nothing-failed", id=batch.batch_id)
    label = f"Retry {plural(sum(retry.counts.values()), 'failed change')}"
    warning = keys_warning(retry.counts.get(Outcome.UNAUTHORIZED, 0))
    which = "".join(f", {name} {value}" for name, value in given.items() if name != "batch")
    question = f"{label} of batch {batch.batch_id}{which}? They are enqueued again, as a batch of their own. {GOES_ON}"
    see = link(request, "/batch", id=batch.batch_id, outcome=Outcome.UNAUTHORIZED.value) + "#results"
    fields = {"as": retry.batch_id, **given}
    return _confirmation(request, batch, question, "/actions/retry-batch", label, warning, see, fields)


@post("/actions/retry-batch", opt={"page": Scope.ENQUEUE}, include_in_schema=False, status_code=SEE_OTHER)
async def retry(request: AnyRequest) -> Redirect:
    """Enqueue the dead letters of a batch, or those of a cause, again, as the batch that the form names."""
    form = await read_form(request)
    batch, new_id = _batch_of(request, form.get("id", "")), form.get("as")
    if new_id is not None:
        require_id(request, new_id)
    return await retry_batch(request, _failures(batch, form), new_id)


def _failures(batch: Batch, parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the filters that select the failed changes of a batch: all, or those of an outcome and a code."""
    cause = {name: parameters[name] for name in ("outcome", "code") if parameters.get(name)}
    return read_filters({"batch": batch.batch_id, **cause})


def _confirmation(
    request: AnyRequest,
    batch: Batch,
    question: str,
    path: str,
    label: str,
    warning: str = "",
    see: str | None = None,
    further: Mapping[str, str] | None = None,
) -> Response[bytes]:
    return confirmation(
        request,
        question=question,
        address=link(request, path),
        label=label,
        fields={"id": batch.batch_id} | {name: value for name, value in (further or {}).items() if name != "batch"},
        back=link(request, "/batch", id=batch.batch_id),
        warning=warning,
        see=see,
    )


ROUTES = [
    *Screen("/batch", "batch.html", _load, parameters=("id", "after", "user", "outcome", "code")).routes(),
    export_results,
    ask_cancel,
    cancel,
    ask_retry,
    retry,
]
