"""The screen of dead letters: grouped, filtered, page by page; replaying and dropping all that match."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.response import Redirect

from producers import (
    BatchNotFound,
    DeadLetterGrouping,
    DeadLetterNotFound,
    InvalidChange,
    Outcome,
)
from producers.contract.access_keys import Scope
from producers.contract.validation import MAX_ID_CHARS
from producers.contract.wording import plural
from producers.gateway.api.operating import require_unbound
from producers.gateway.calls.audit import log_call
from producers.gateway.calls.service import AnyRequest, gateway_of
from producers.gateway.console.actions import GOES_ON, SEE_OTHER, confirmation, done, keys_warning
from producers.gateway.console.forms import read_form
from producers.gateway.console.letters_search import search_letters
from producers.gateway.console.live import Screen
from producers.gateway.console.rendering import link
from producers.queue.finish import DEAD_OUTCOMES

SHOWN_GROUPS = 20

INTERVAL_S = 5.0
"""A look reads the newest 2,000 dead letters, twice if there are filters."""

FILTERS = {"outcome": "outcome", "code": "code", "user": "user_id", "batch": "batch_id", "trader": "trader_id"}
"""The parameters of pages and forms, and the arguments of `DeadLetters` that they are."""

EVERYTHING, UNTIL = "everything", "until"

_PARAMETER = {argument: name for name, argument in FILTERS.items()}


async def _load(request: AnyRequest) -> Mapping[str, Any]:
    require_unbound(request)
    dead = gateway_of(request).producer.dead
    given = read_filters(request.query_params)
    selection = arguments_of(given)
    by, start_us = _grouping(request), _time_us(request.query_params, "before")
    counts = await dead.counts()
    groups = None if start_us is not None else await dead.groups(by, **selection)
    return {
        "title": "Dead letters",
        "section": "/dead-letters",
        "counts": counts,
        "total": sum(counts.values()),
        "is_whole": not set(given) - {"outcome"},
        "matching": sum(counts[outcome] for outcome in DEAD_OUTCOMES if given.get("outcome", outcome) == outcome),
        "filters": given,
        "names": list(FILTERS),
        "outcomes": DEAD_OUTCOMES,
        "by": by,
        "groupings": list(DeadLetterGrouping),
        "groups": groups,
        "shown_groups": SHOWN_GROUPS,
        "filters_of": lambda group: {_PARAMETER[argument]: value for argument, value in group.filters.items()},
        "page": await search_letters(dead, start_us, selection),
        "is_first": start_us is None,
    }


@get("/dead-letters/replay", opt={"page": Scope.OPERATE}, include_in_schema=False)
async def ask_replay(request: AnyRequest) -> Response[Any]:
    """Ask before dead letters are enqueued again."""
    require_unbound(request)
    given = read_filters(request.query_params)
    selection, unauthorized = arguments_of(given), 0
    if selection.get("outcome", Outcome.UNAUTHORIZED) is Outcome.UNAUTHORIZED:
        unauthorized = await gateway_of(request).producer.dead.count(**{**selection, "outcome": Outcome.UNAUTHORIZED})
    batch = ", as a batch of their own" if _is_of_batch(given) else ""
    note = f"They are enqueued again at the ends of their lanes, with new job IDs{batch}, and leave the dead letters."
    return await _ask(request, "Replay", f"{note} {GOES_ON}", "/actions/replay-letters", unauthorized)


@get("/dead-letters/drop", opt={"page": Scope.OPERATE}, include_in_schema=False)
async def ask_drop(request: AnyRequest) -> Response[Any]:
    """Ask before dead letters are deleted."""
    note = "Their changes can then no longer be enqueued again; their results stay until they expire."
    return await _ask(request, "Drop", note, "/actions/drop-letters")


@post("/actions/replay-letters", opt={"page": Scope.OPERATE}, include_in_schema=False, status_code=SEE_OTHER)
async def replay(request: AnyRequest) -> Redirect:
    """Enqueue all dead letters that match again. Those of a batch become a batch, which can be watched."""
    given, selection, until_us = await _selection(request)
    if _is_of_batch(given):
        return await retry_batch(request, given, until_us=until_us)
    report = await gateway_of(request).producer.dead.replay(**selection, until_us=until_us)
    log_call(request, "replay", _described(given), len(report.replayed))
    counts = {"count": len(report.replayed), "others": len(report.refused)}
    if len(report.replayed) == 1 and not report.refused:
        return done(request, "/change", "letters-replayed", id=report.replayed[0][1], **counts)
    if report.replayed and not report.refused and "user" in given:
        return done(request, "/user", "letters-replayed", id=given["user"], **counts)
    return done(request, "/dead-letters", "letters-replayed", **given, **counts)


async def retry_batch(
    request: AnyRequest, given: Mapping[str, str], new_id: str | None = None, until_us: float | None = None
) -> Redirect:
    """Enqueue dead letters of a batch again, as a batch of their own, and lead to that.

    Args:
        request: the call.
        given: the filters that select them: the batch, and an outcome or a code.
        new_id: the ID of the new batch; None for one that is derived from them.
        until_us: the last time at which they ended; None for no limit.
    """
    batch = gateway_of(request).producer.batch(given["batch"])
    try:
        new = await batch.retry_failed(batch_id=new_id, until_us=until_us, **cause_of(given))
    except (BatchNotFound, DeadLetterNotFound):
        return done(request, "/batch", "nothing-failed", id=batch.batch_id)
    accepted, refused = (0, 0) if new.report is None else (new.report.accepted, len(new.report.refused))
    log_call(request, "retry", _described(given), accepted)
    notice = "batch-retried" if accepted or refused else "batch-retried-before"
    return done(request, "/batch", notice, id=new.batch_id, count=accepted, others=refused)


def cause_of(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the outcome and the code among filters, as arguments."""
    return {name: value for name, value in arguments_of(given).items() if name in ("outcome", "code")}


def _is_of_batch(given: Mapping[str, str]) -> bool:
    return "batch" in given and given.keys() <= {"batch", "outcome", "code"}


@post("/actions/drop-letters", opt={"page": Scope.OPERATE}, include_in_schema=False, status_code=SEE_OTHER)
async def drop(request: AnyRequest) -> Redirect:
    """Delete all dead letters that match."""
    given, selection, until_us = await _selection(request)
    dropped = await gateway_of(request).producer.dead.drop(**selection, until_us=until_us)
    log_call(request, "drop", _described(given), dropped)
    return done(request, "/dead-letters", "letters-dropped", **given, count=dropped)


async def _ask(request: AnyRequest, action: str, note: str, path: str, unauthorized: int = 0) -> Response[Any]:
    require_unbound(request)
    given = read_filters(request.query_params)
    until_us = await gateway_of(request).producer.dead.newest_us()  # before they are counted: none more is acted on
    count = await gateway_of(request).producer.dead.count(**arguments_of(given))
    if not count:
        return done(request, "/dead-letters", "no-letters", **given)
    which = ", ".join(f"{name} {value}" for name, value in given.items())
    letters = plural(count, "dead letter") if given else f"all {plural(count, 'dead letter')}"
    return confirmation(
        request,
        question=f"{action} {letters}{' with ' if which else ''}{which}? {note}",
        address=link(request, path),
        label=f"{action} {letters}",
        fields={**(given or {EVERYTHING: "yes"}), UNTIL: repr(until_us)},
        back=link(request, "/dead-letters", **given),
        warning=keys_warning(unauthorized),
        see=link(request, "/dead-letters", **{**given, "outcome": Outcome.UNAUTHORIZED.value, "by": "user"}),
    )


async def _selection(request: AnyRequest) -> tuple[dict[str, str], dict[str, Any], float | None]:
    """Return the filters of a form, the arguments that select what it is about, and the last time that was counted.

    Raises:
        InvalidChange: it has neither a filter nor says that it is about everything, or both.
    """
    require_unbound(request)
    form = await read_form(request)
    given = read_filters(form)
    if bool(given) is (EVERYTHING in form):
        raise InvalidChange("filters", f"must be some of {', '.join(FILTERS)}, or {EVERYTHING}", form)
    return given, arguments_of(given) or {EVERYTHING: True}, _time_us(form, UNTIL)


def read_filters(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the filters that are given, by the names of their parameters.

    Raises:
        InvalidChange: one of them can match nothing.
    """
    given = {name: parameters[name] for name in FILTERS if parameters.get(name)}
    for name, value in given.items():
        if len(value) > MAX_ID_CHARS:
            raise InvalidChange(name, f"must have at most {MAX_ID_CHARS} characters", value)
    if given.get("outcome", DEAD_OUTCOMES[0]) not in DEAD_OUTCOMES:
        raise InvalidChange("outcome", f"must be one of {', '.join(DEAD_OUTCOMES)}", given["outcome"])
    return given


def arguments_of(given: Mapping[str, str]) -> dict[str, Any]:
    """Return filters as arguments of `DeadLetters`."""
    arguments: dict[str, Any] = {FILTERS[name]: value for name, value in given.items()}
    if "outcome" in arguments:
        arguments["outcome"] = Outcome(arguments["outcome"])
    return arguments


def _described(given: Mapping[str, str]) -> str:
    return f"dead letters of {', '.join(f'{name} {value}' for name, value in given.items())}" if given else EVERYTHING


def _grouping(request: AnyRequest) -> DeadLetterGrouping:
    text = request.query_params.get("by") or DeadLetterGrouping.CAUSE
    try:
        return DeadLetterGrouping(text)
    except ValueError as exc:
        raise InvalidChange("by", f"must be one of {', '.join(DeadLetterGrouping)}", text) from exc


def _time_us(parameters: Mapping[str, str], name: str) -> float | None:
    """Return a time up to which dead letters are shown or acted on; None for the newest."""
    text = parameters.get(name)
    if not text:
        return None
    try:
        time_us = float(text)
    except ValueError:
        time_us = math.nan
    if math.isnan(time_us):
        raise InvalidChange(name, "must be a time in microseconds", text)
    return time_us


ROUTES = [
    *Screen(
        "/dead-letters", "letters.html", _load, parameters=(*FILTERS, "by", "before"), interval_s=INTERVAL_S
    ).routes(),
    ask_replay,
    ask_drop,
    replay,
    drop,
]
