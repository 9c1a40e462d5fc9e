"""The search: one box that takes a user, a change or a batch."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, NamedTuple

from litestar import Response, get
from litestar.response import Redirect

from producers import BatchNotFound, InvalidArgument, JobNotFound, JobState
from producers.contract.access_keys import Scope
from producers.contract.messages import CHANGE_SUFFIX
from producers.contract.validation import MAX_ID_CHARS, check_id
from producers.gateway.api.operating import require_user
from producers.gateway.calls.problems import NotPermitted
from producers.gateway.calls.service import AnyRequest, gateway_of, key_of
from producers.gateway.console.rendering import link, render

SHOWN_USERS = 100
"""Of those that a key is bound to."""


class Place(NamedTuple):
    """What an ID is that of, and the address of its page."""

    kind: str
    address: str


@get("/search", opt={"page": Scope.READ}, include_in_schema=False)
async def search(request: AnyRequest) -> Response[Any]:
    """Lead to the user, the change or the batch of an ID; of several, let the reader choose."""
    query = request.query_params.get("q", "").strip()
    is_id = _is_id(query)
    found = await _find(request, query) if is_id else []
    if len(found) == 1:
        return Redirect(found[0].address, status_code=HTTPStatus.SEE_OTHER.value)
    key = key_of(request)
    values = {
        "title": "Search",
        "section": "/search",
        "users": [] if key.trader_ids else sorted(key.user_ids)[:SHOWN_USERS],
        "query": query[:MAX_ID_CHARS],
        "is_cut": len(query) > MAX_ID_CHARS,
        "is_id": is_id,
        "found": found,
        "user": link(request, "/user", id=query) if is_id and _permits_user(request, query) else None,
    }
    return render(request, "search.html", values)


async def _find(request: AnyRequest, query: str) -> list[Place]:
    """Return what there is of an ID, of what the reader may see."""
    user_id, job_id, batch_id = await asyncio.gather(
        _find_user(request, query), _find_change(request, query), _find_batch(request, query)
    )
    found = {"user": ("/user", user_id), "change": ("/change", job_id), "batch": ("/batch", batch_id)}
    return [Place(kind, link(request, path, id=name)) for kind, (path, name) in found.items() if name is not None]


async def _find_user(request: AnyRequest, query: str) -> str | None:
    """Return the ID of a user of whom something is known, or to whom the key is bound."""
    if not _permits_user(request, query):
        return None
    if key_of(request).is_bound:
        return query
    producer = gateway_of(request).producer
    status, dead = await asyncio.gather(
        producer.user_status(query, max_lanes=1), producer.dead.page(limit=1, user_id=query)
    )
    known = (status.lanes_total, status.paused, status.rate_per_s, status.refused_code, status.bucket, dead.letters)
    return query if any(known) else None


async def _find_change(request: AnyRequest, query: str) -> str | None:
    """Return the ID of a change: its own, or that of the control job that enqueued it."""
    if not key_of(request).permits_id(query):
        return None
    for job_id in (query, query + CHANGE_SUFFIX):
        try:
            status = await gateway_of(request).producer.job(job_id).status()
        except (JobNotFound, InvalidArgument):  # another app's, or too long
            continue
        if status.state is not JobState.NOT_FOUND:
            return job_id
    return None


async def _find_batch(request: AnyRequest, query: str) -> str | None:
    if not key_of(request).permits_id(query):
        return None
    try:
        await gateway_of(request).producer.batch(query).progress()
    except (BatchNotFound, InvalidArgument):
        return None
    return query


def _is_id(query: str) -> bool:
    try:
        check_id("q", query)
    except InvalidArgument:
        return False
    return True


def _permits_user(request: AnyRequest, user_id: str) -> bool:
    try:
        require_user(request, user_id)
    except NotPermitted:
        return False
    return True


ROUTES = [search]
