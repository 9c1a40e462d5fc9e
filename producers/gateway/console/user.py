"""The screen of one user: its rate and what it has used of it, its lanes, and what can be done with it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.response import Redirect

from producers import InvalidChange, Overview, UserStatus
from producers.contract.access_keys import Scope
from producers.contract.validation import MAX_RATE_PER_S, MIN_RATE_PER_S
from producers.contract.wording import plural
from producers.gateway.api.operating import require_user
from producers.gateway.calls.audit import log_call
from producers.gateway.calls.service import AnyRequest, gateway_of
from producers.gateway.console.actions import SEE_OTHER, confirmation, done
from producers.gateway.console.forms import read_form
from producers.gateway.console.live import Screen
from producers.gateway.console.rendering import link
from producers.gateway.console.watch import watch_of
from producers.queue.user_status import MAX_LANES_SHOWN

SHOWN_LANES, SHOWN_CHANGES = 12, 20
"""Lanes of a user, and changes of each. Each lane costs Redis a command, every two seconds and tab."""

SHOWN_CHANGES_OF_LANE = 200
"""Changes of the lane that is looked for by its trader."""

_match_number = re.compile(r"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]{1,3})?", re.ASCII).fullmatch
"""As browsers send it: `float` takes more, such as 1_0."""


async def _load(request: AnyRequest) -> Mapping[str, Any]:
    user_id, trader_id = _user_of(request), request.query_params.get("trader") or None
    status = await gateway_of(request).producer.user_status(
        user_id,
        trader_id=trader_id,
        max_lanes=SHOWN_LANES,
        changes=SHOWN_CHANGES if trader_id is None else SHOWN_CHANGES_OF_LANE,
    )
    overview = await watch_of(request).latest(request)
    return {
        "title": f"User {user_id}",
        "default_limit": default_limit(overview),
        "obstacle": obstacle(status, overview),
        "egresses": used_egresses(overview),
        "status": status,
        "state": state_of(status),
        "trader_id": trader_id,
        "min_rate": MIN_RATE_PER_S,
        "max_rate": MAX_RATE_PER_S,
    }


def default_limit(overview: Overview) -> str:
    """Return the limit of users without one of their own, which each worker is configured with."""
    rates = sorted({worker.user_rate_per_s for worker in overview.workers})
    return " or ".join(f"{rate:g}/s" for rate in rates) + ", the default" if rates else "the default"


def obstacle(status: UserStatus, overview: Overview) -> str | None:
    """Return why nothing leaves through the egresses that a user may use; None if something does."""
    usable = [egress for egress in overview.egresses if egress.workers and status.egress in {None, egress.name}]
    if not usable:
        missing = "is running" if status.egress is None else f"sends through its egress {status.egress}"
        return f"No worker {missing}: nothing of it is sent until one is started."
    which = f"Egress {usable[0].name}" if len(usable) == 1 else "Every egress that it may use"
    if all(egress.paused for egress in usable):
        return f"{which} is paused: nothing of it is sent until it is resumed."
    if all(egress.paused or egress.trouble is not None for egress in usable):
        return f"{which} is paused, or sends only probes since its breaker is open."
    return None


def state_of(status: UserStatus) -> str:
    """Return in a few words what a user does: the first of these that holds."""
    if status.paused or status.everything_paused:
        return "paused"
    if status.refused_code is not None:
        return "keys rejected"
    if status.hold_s > 0:
        return "held"
    if any(lane.in_flight for lane in status.lanes):
        return "sending"
    return "waiting" if status.lanes_total else "idle"


def _user_of(request: AnyRequest) -> str:
    user_id = request.query_params.get("id", "")
    require_user(request, user_id)
    return user_id


@post("/actions/limit-user", opt={"page": Scope.OPERATE}, include_in_schema=False, status_code=SEE_OTHER)
async def limit(request: AnyRequest) -> Redirect:
    """Set a user's own rate, or remove it, so that the workers' rate applies again."""
    form = await read_form(request)
    user_id = form.get("id", "")
    rate_per_s = None if "restore" in form else _rate(form.get("rate", ""))
    require_user(request, user_id)
    await gateway_of(request).producer.limit_user(user_id, rate_per_s)
    log_call(request, "limit", f"user {user_id} to {rate_per_s}")
    return done(request, "/user", "limited" if rate_per_s is not None else "limit-removed", id=user_id)


def _rate(text: str) -> float:
    rate_per_s = float(text) if _match_number(text) else math.nan
    if not MIN_RATE_PER_S <= rate_per_s <= MAX_RATE_PER_S:
        rule = f"must be a number of requests a second from {MIN_RATE_PER_S:g} to {MAX_RATE_PER_S:g}"
        raise InvalidChange("rate", rule, text)
    return rate_per_s


@post("/actions/pin-user", opt={"page": Scope.OPERATE}, include_in_schema=False, status_code=SEE_OTHER)
async def pin(request: AnyRequest) -> Redirect:
    """Pin a user to an egress, or unpin it."""
    form = await read_form(request)
    user_id = form.get("id", "")
    require_user(request, user_id)
    producer = gateway_of(request).producer
    if "unpin" in form:
        await producer.unpin_user(user_id)
        log_call(request, "unpin", f"user {user_id}")
        return done(request, "/user", "unpinned", id=user_id)
    egress = form.get("egress", "")
    await producer.pin_user(user_id, egress)
    log_call(request, "pin", f"user {user_id} to egress {egress}")
    names = used_egresses(await watch_of(request).latest(request))
    return done(request, "/user", "pinned" if egress in names else "pinned-unused", id=user_id)


def used_egresses(overview: Overview) -> list[str]:
    """Return the egresses that have workers."""
    return [egress.name for egress in overview.egresses if egress.workers]


@get("/user/cancel", opt={"page": Scope.OPERATE}, include_in_schema=False)
async def ask_cancel(request: AnyRequest) -> Response[bytes]:
    """Ask before all queued changes of a user are cancelled."""
    user_id = _user_of(request)
    status = await gateway_of(request).producer.user_status(user_id, max_lanes=MAX_LANES_SHOWN)
    queued = sum(lane.queued for lane in status.lanes)
    in_flight = sum(lane.in_flight for lane in status.lanes)
    sending = f", except those of {plural(in_flight, 'request')} in flight" if in_flight else ""
    least = "At least " if status.lanes_total > len(status.lanes) + status.malformed else ""
    question = (
        f"Cancel all changes of user {user_id}? {least}{plural(queued, 'change')} in"
        f" {plural(status.lanes_total, 'lane')} will end cancelled{sending}."
    )
    return confirmation(
        request,
        question=question,
        address=link(request, "/actions/cancel-user"),
        label="Cancel all changes",
        fields={"id": user_id},
        back=link(request, "/user", id=user_id),
    )


@post("/actions/cancel-user", opt={"page": Scope.OPERATE}, include_in_schema=False, status_code=SEE_OTHER)
async def cancel(request: AnyRequest) -> Redirect:
    """Cancel all queued changes of a user."""
    user_id = (await read_form(request)).get("id", "")
    require_user(request, user_id)
    report = await gateway_of(request).producer.cancel_user(user_id)
    log_call(request, "cancel", f"user {user_id}", report.cancelled)
    return done(request, "/user", "user-cancelled", id=user_id, count=report.cancelled, others=report.in_flight)


ROUTES = [*Screen("/user", "user.html", _load, parameters=("id", "trader")).routes(), limit, pin, ask_cancel, cancel]
