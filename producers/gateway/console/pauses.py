"""Pausing and resuming users, traders, egresses and everything."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.response import Redirect

from producers import InvalidChange
from producers.contract.access_keys import Scope
from producers.contract.wording import plural
from producers.gateway.api.operating import require_unbound, require_user
from producers.gateway.calls.audit import log_call
from producers.gateway.calls.service import AnyRequest, gateway_of
from producers.gateway.console.actions import SEE_OTHER, confirmation, done
from producers.gateway.console.forms import read_form
from producers.gateway.console.rendering import link
from producers.gateway.console.watch import watch_of

KINDS = ("user", "trader", "egress", "everything")


@post("/actions/pause", opt={"page": Scope.OPERATE}, include_in_schema=False, status_code=SEE_OTHER)
async def pause(request: AnyRequest) -> Redirect:
    """Pause what the form names."""
    target, page = await _target(request)
    changed = await gateway_of(request).producer.pause(**target)
    log_call(request, "pause", _name(target))
    if not changed:
        return done(request, **page, notice="paused-before")
    overview = await watch_of(request).latest(request)
    is_unknown = "egress" in target and target["egress"] not in {
        egress.name for egress in overview.egresses if egress.workers
    }
    return done(request, **page, notice="paused-unused" if is_unknown else "paused")


@post("/actions/resume", opt={"page": Scope.OPERATE}, include_in_schema=False, status_code=SEE_OTHER)
async def resume(request: AnyRequest) -> Redirect:
    """Resume what the form names."""
    target, page = await _target(request)
    changed = await gateway_of(request).producer.resume(**target)
    log_call(request, "resume", _name(target))
    return done(request, **page, notice="resumed" if changed else "not-paused")


@get("/pause-everything", opt={"page": Scope.OPERATE}, include_in_schema=False)
async def ask_pause_everything(request: AnyRequest) -> Response[bytes]:
    """Ask before everything is paused."""
    require_unbound(request)
    overview = await watch_of(request).latest(request)
    users = overview.interactive.users + overview.bulk.users
    question = (
        f"Pause everything? Nothing will be sent for anybody until it is resumed; {plural(users, 'user')} have changes"
        f" that wait now, and {plural(overview.paused_lanes, 'lane')} are paused already."
        f" {plural(overview.in_flight, 'request')} in flight will be completed."
    )
    return confirmation(
        request,
        question=question,
        address=link(request, "/actions/pause"),
        label="Pause everything",
        fields={"kind": "everything"},
        back=link(request, "/workers"),
    )


async def _target(request: AnyRequest) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of `pause` and `resume`, and the page to return to."""
    form = await read_form(request)
    kind, name = form.get("kind", ""), form.get("name", "")
    if kind not in KINDS:
        raise InvalidChange("kind", f"must be one of {', '.join(KINDS)}", kind)
    if kind == "user":
        require_user(request, name)
        return {"user_id": name}, {"path": "/user", "id": name}
    require_unbound(request)
    if kind == "trader":
        return {"trader_id": name}, {"path": "/trader", "id": name}
    if kind == "everything" and name:
        raise InvalidChange("name", "must be empty where everything is meant", name)
    return {kind: True if kind == "everything" else name}, {"path": "/workers"}


def _name(target: dict[str, Any]) -> str:
    (kind, name), *_ = target.items()
    return "everything" if kind == "everything" else f"{kind.removesuffix('_id')} {name}"


ROUTES = [pause, resume, ask_pause_everything]
