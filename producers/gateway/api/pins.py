"""Pinning users to egresses. Each call that changes something leaves a line in the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, post, put
from litestar.params import FromPath, QueryParameter

from producers.contract.access_keys import Scope
from producers.contract.validation import check_id
from producers.contract.wording import plural
from producers.errors import InvalidChange, InvalidId
from producers.gateway.api.operating import Changed, read_message, require_unbound, require_user
from producers.gateway.calls.audit import log_call
from producers.gateway.calls.bodies import decode
from producers.gateway.calls.items import check_items
from producers.gateway.calls.service import OK, AnyRequest, gateway_of, next_page
from producers.gateway.calls.wording import place_and_rule
from producers.queue.pins import Pin

OfEgress = Annotated[str | None, QueryParameter(name="egress", description="Only users that are pinned to it.")]
MAX_CURSOR = 10**18
"""Above any that Redis gives, and a number that JSON carries exactly."""

Cursor = Annotated[
    int, QueryParameter(name="cursor", ge=0, le=MAX_CURSOR, description="Where a page starts, from Link.")
]


class NewPin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The only egress that a user's requests leave from."""

    egress: str


class UserPin(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A user, and the egress that it is pinned to; null unpins it."""

    user_id: str
    egress: str | None


class PinnedMany(msgspec.Struct, frozen=True, kw_only=True):
    """How many users were pinned or unpinned; the others were so before."""

    changed: int


@put("/users/{user_id:str}/pin", opt={"scope": Scope.OPERATE})
async def pin_user(request: AnyRequest, user_id: FromPath[str]) -> NewPin:
    """Pin a user to an egress, from the next request on: without a worker of it, the user's changes wait."""
    require_user(request, user_id)
    pin = await read_message(request, NewPin)
    await gateway_of(request).producer.pin_user(user_id, pin.egress)
    log_call(request, "pin", f"user {user_id} to egress {pin.egress}")
    return pin


@delete("/users/{user_id:str}/pin", status_code=OK, opt={"scope": Scope.OPERATE})
async def unpin_user(request: AnyRequest, user_id: FromPath[str]) -> Changed:
    """Let the workers of any egress send a user's requests."""
    require_user(request, user_id)
    changed = await gateway_of(request).producer.pin_users({user_id: None})
    log_call(request, "unpin", f"user {user_id}")
    return Changed(changed=bool(changed))


@get("/pins", opt={"scope": Scope.READ})
async def pins(request: AnyRequest, egress: OfEgress = None, cursor: Cursor = 0) -> Response[list[Pin]]:
    """Return pins, in no order: about 1,000 for a page, fewer or none of one egress.

    The header Link has the next page, if there is one.
    """
    require_unbound(request)
    page = await gateway_of(request).producer.pins_page(cursor)
    found = [pin for pin in page.pins if egress in (None, pin.egress)]
    return Response(found, headers=next_page(request, cursor=page.cursor) if page.cursor else {})


@post("/pins:bulk", status_code=OK, opt={"scope": Scope.OPERATE})
async def pin_many(request: AnyRequest) -> PinnedMany:
    """Pin many users, or unpin them: a JSON array. If one item is invalid, nothing is changed.

    Of two items for one user, the last counts. It is safe to repeat: after an error of Redis, some users may be pinned
    already.
    """
    require_unbound(request)
    gateway = gateway_of(request)
    items = await read_message(request, list[msgspec.Raw])
    wanted: dict[str, str | None] = {}
    await check_items(
        items, lambda item: _add(item, wanted), most=gateway.settings.gateway_rows, all_or_nothing=True, done="pinned"
    )
    changed = await gateway.producer.pin_users(wanted)
    log_call(request, "pin", f"{plural(len(wanted), 'user')}: {_names(wanted.values())}", changed)
    return PinnedMany(changed=changed)


def _add(item: msgspec.Raw, wanted: dict[str, str | None]) -> None:
    """Add an item to what is wanted.

    Raises:
        InvalidChange: it breaks a rule.
        InvalidBody: it cannot be read at all.
    """
    try:
        pin = msgspec.json.decode(item, type=UserPin)
        check_id("userId", pin.user_id)
        if pin.egress is not None:
            check_id("egress", pin.egress)
    except InvalidId as exc:
        raise InvalidChange(exc.argument, exc.rule, exc.value) from exc
    except msgspec.MsgspecError as exc:
        given = decode(bytes(item), object)
        field, rule = place_and_rule(str(exc))
        raise InvalidChange(field or "body", rule, given.get(field) if isinstance(given, dict) else given) from exc
    wanted[pin.user_id] = pin.egress


def _names(egresses: Iterable[str | None]) -> str:
    """Return the egresses for the audit log."""
    return ", ".join(sorted({"unpinned" if egress is None else f"to {egress}" for egress in egresses})[:5])


ROUTES: list[Any] = [pin_user, unpin_user, pins, pin_many]
