"""Pausing and resuming users, traders, egresses and everything."""

from __future__ import annotations

from typing import Any

from litestar import post
from litestar.response import Redirect

from producers import InvalidChange
from producers.contract.access_keys import Scope
from producers.gateway.api.operating import require_unbound, require_user
from producers.gateway.calls.audit import log_call
from producers.gateway.calls.service import AnyRequest, gateway_of
from producers.gateway.console.actions import SEE_OTHER, done
from producers.gateway.console.forms import read_form

_ARGUMENTS = {"user": "user_id", "trader": "trader_id", "egress": "egress", "everything": "everything"}


@post("/actions/pause", opt={"page": Scope.OPERATE}, include_in_schema=False, status_code=SEE_OTHER)
async def pause(request: AnyRequest) -> Redirect:
    """Pause what the form names."""
    target, page = await _target(request)
    changed = await gateway_of(request).producer.pause(**target)
    log_call(request, "pause", _name(target))
    return done(request, **page, notice="paused" if changed else "paused-before")


@post("/actions/resume", opt={"page": Scope.OPERATE}, include_in_schema=False, status_code=SEE_OTHER)
async def resume(request: AnyRequest) -> Redirect:
    """Resume what the form names."""
    target, page = await _target(request)
    changed = await gateway_of(request).producer.resume(**target)
    log_call(request, "resume", _name(target))
    return done(request, **page, notice="resumed" if changed else "not-paused")


async def _target(request: AnyRequest) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of `pause` and `resume`, and the page to return to."""
    form = await read_form(request)
    kind, name = form.get("kind", ""), form.get("name", "")
    if kind not in _ARGUMENTS:
        raise InvalidChange("kind", f"must be one of {', '.join(_ARGUMENTS)}", kind)
    if kind == "user":
        require_user(request, name)
        return {"user_id": name}, {"path": "/user", "id": name}
    require_unbound(request)
    return {_ARGUMENTS[kind]: True if kind == "everything" else name}, {"path": "/workers"}


def _name(target: dict[str, Any]) -> str:
    (kind, name), *_ = target.items()
    return "everything" if kind == "everything" else f"{kind.removesuffix('_id')} {name}"


ROUTES = [pause, resume]
