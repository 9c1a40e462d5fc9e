"""Operating the queue: users, pauses, the overview. Each call that changes something leaves a line in the audit log."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from litestar import get, post, put
from litestar.params import FromPath, QueryParameter

from producers import Overview, Pause, UserStatus
from producers.cli.json_output import to_builtins
from producers.contract.access_keys import Scope
from producers.gateway.api.batches import CancelledMany
from producers.gateway.calls.audit import log_call
from producers.gateway.calls.bodies import decode, read_json
from producers.gateway.calls.problems import InvalidBody, NotPermitted
from producers.gateway.calls.service import OK, AnyRequest, gateway_of, key_of
from producers.queue.pauses import Scope as PauseScope
from producers.queue.user_status import MAX_JOBS_SHOWN, MAX_LANES_SHOWN

T = TypeVar("T")


OfTrader = Annotated[str | None, QueryParameter(name="traderId", description="Only the lane of this trader.")]
MaxLanes = Annotated[
    int,
    QueryParameter(
        name="maxLanes",
        ge=0,
        le=MAX_LANES_SHOWN,
        description="So many lanes: those in flight, then those that are due first; 0 for all.",
    ),
]
Changes = Annotated[
    int,
    QueryParameter(name="changes", ge=0, le=MAX_JOBS_SHOWN, description="So many job IDs of each lane, in `jobs`."),
]


class NewLimit(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A user's own rate, requests a second; null for the workers' rate."""

    rate_per_s: float | None


class PauseTarget(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is paused or resumed: exactly one of these."""

    user_id: str | None = None
    trader_id: str | None = None
    egress: str | None = None
    everything: bool = False


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the call changed something; false if it was so before."""

    changed: bool


def require_unbound(request: AnyRequest) -> None:
    """Check that the key of a call may concern all users.

    Raises:
        NotPermitted: it is bound to some.
    """
    if key_of(request).is_bound:
        raise NotPermitted(f"access key {key_of(request).key_id} is bound to some users or traders; this concerns all")


def require_user(request: AnyRequest, user_id: str) -> None:
    """Check that the key of a call may concern a user as a whole.

    Raises:
        NotPermitted: it is bound to traders, or to other users.
    """
    key = key_of(request)
    if key.trader_ids or (key.user_ids and user_id not in key.user_ids):
        bound = f"is bound to traders, and this call concerns all of user {user_id}"
        raise NotPermitted(f"access key {key.key_id} {bound if key.trader_ids else f'is not for user {user_id}'}")


async def read_message(request: AnyRequest, kind: type[T]) -> T:
    """Return the message in a body of JSON.

    Raises:
        InvalidBody: it is none.
    """
    return decode(await read_json(request, gateway_of(request).settings.gateway_body_bytes), kind)


@get("/overview", opt={"scope": Scope.READ})
async def overview(request: AnyRequest) -> dict[str, Any]:
    """Return the state of the whole queue at one moment."""
    require_unbound(request)
    overview: Overview = await gateway_of(request).producer.overview()
    found: dict[str, Any] = to_builtins(overview)
    return found


@get("/users/{user_id:str}", opt={"scope": Scope.READ})
async def user_status(
    request: AnyRequest,
    user_id: FromPath[str],
    trader_id: OfTrader = None,
    max_lanes: MaxLanes = 0,
    changes: Changes = 0,
) -> dict[str, Any]:
    """Return a user's lanes, own rate, use of the rate, pause and hold."""
    require_user(request, user_id)
    status: UserStatus = await gateway_of(request).producer.user_status(
        user_id, trader_id=trader_id, max_lanes=max_lanes or None, changes=changes
    )
    found: dict[str, Any] = to_builtins(status)
    return found


@post("/users/{user_id:str}/pause", status_code=OK, opt={"scope": Scope.OPERATE})
async def pause_user(request: AnyRequest, user_id: FromPath[str]) -> Changed:
    """Stop sending the changes of a user, until it is resumed."""
    require_user(request, user_id)
    changed = await gateway_of(request).producer.pause(user_id=user_id)
    log_call(request, "pause", f"user {user_id}")
    return Changed(changed=changed)


@post("/users/{user_id:str}/resume", status_code=OK, opt={"scope": Scope.OPERATE})
async def resume_user(request: AnyRequest, user_id: FromPath[str]) -> Changed:
    """End a user's pause, and send its changes again if its API keys had been rejected."""
    require_user(request, user_id)
    changed = await gateway_of(request).producer.resume(user_id=user_id)
    log_call(request, "resume", f"user {user_id}")
    return Changed(changed=changed)


@put("/users/{user_id:str}/limit", opt={"scope": Scope.OPERATE})
async def limit_user(request: AnyRequest, user_id: FromPath[str]) -> NewLimit:
    """Set a user's own rate, from the next request on."""
    require_user(request, user_id)
    limit = await read_message(request, NewLimit)
    await gateway_of(request).producer.limit_user(user_id, limit.rate_per_s)
    rate = "the workers' rate" if limit.rate_per_s is None else f"{limit.rate_per_s:g} requests a second"
    log_call(request, "limit", f"user {user_id} to {rate}")
    return limit


@post("/users/{user_id:str}/cancel", status_code=OK, opt={"scope": Scope.OPERATE})
async def cancel_user(request: AnyRequest, user_id: FromPath[str]) -> CancelledMany:
    """Cancel all queued changes of a user, except those that are being sent."""
    require_user(request, user_id)
    report = await gateway_of(request).producer.cancel_user(user_id)
    log_call(request, "cancel", f"user {user_id}", report.cancelled)
    return CancelledMany(cancelled=report.cancelled, in_flight=report.in_flight)


@get("/pauses", opt={"scope": Scope.READ})
async def pauses(request: AnyRequest) -> list[dict[str, Any]]:
    """Return the pauses in force, oldest first."""
    require_unbound(request)
    found: list[Pause] = await gateway_of(request).producer.paused()
    return [to_builtins(pause) for pause in found]


@post("/pauses/pause", status_code=OK, opt={"scope": Scope.OPERATE})
async def pause(request: AnyRequest) -> Changed:
    """Stop sending the changes of a user, of a trader, through an egress, or all of them."""
    target = await _target(request)
    changed = await gateway_of(request).producer.pause(**msgspec.structs.asdict(target))
    log_call(request, "pause", _name(target))
    return Changed(changed=changed)


@post("/pauses/resume", status_code=OK, opt={"scope": Scope.OPERATE})
async def resume(request: AnyRequest) -> Changed:
    """End a pause."""
    target = await _target(request)
    changed = await gateway_of(request).producer.resume(**msgspec.structs.asdict(target))
    log_call(request, "resume", _name(target))
    return Changed(changed=changed)


async def _target(request: AnyRequest) -> PauseTarget:
    require_unbound(request)
    target = await read_message(request, PauseTarget)
    try:
        PauseScope.from_arguments(**msgspec.structs.asdict(target))
    except TypeError as exc:
        rule = "must have exactly one of userId, traderId, egress and everything"
        given = {name: value for name, value in msgspec.to_builtins(target).items() if value}
        raise InvalidBody("body", rule, given) from exc
    return target


def _name(target: PauseTarget) -> str:
    return PauseScope.from_arguments(**msgspec.structs.asdict(target)).field


ROUTES = [overview, user_status, pause_user, resume_user, limit_user, cancel_user, pauses, pause, resume]
