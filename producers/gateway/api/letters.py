"""Dead letters: list, replay and drop them by a filter."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter

from producers import DeadLetter, Outcome
from producers.cli.json_output import to_builtins
from producers.contract.access_keys import Scope
from producers.contract.validation import ID_PATTERN
from producers.gateway.api.operating import read_message, require_unbound
from producers.gateway.calls.audit import log_call
from producers.gateway.calls.problems import InvalidBody
from producers.gateway.calls.service import OK, AnyRequest, gateway_of, next_page

MAX_LETTERS = 1000

Id = Annotated[str, msgspec.Meta(pattern=f"^{ID_PATTERN}$")]
OutcomeFilter = Annotated[Outcome | None, QueryParameter(name="outcome")]
UserFilter = Annotated[str | None, QueryParameter(name="userId", pattern=f"^{ID_PATTERN}$")]
TraderFilter = Annotated[str | None, QueryParameter(name="traderId", pattern=f"^{ID_PATTERN}$")]
BatchFilter = Annotated[str | None, QueryParameter(name="batchId", pattern=f"^{ID_PATTERN}$")]
CodeFilter = Annotated[str | None, QueryParameter(name="code", pattern=f"^{ID_PATTERN}$")]
Start = Annotated[float | None, QueryParameter(name="startUs", ge=0, description="Where a page starts, from Link.")]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_LETTERS)]


class Letters(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A selection of dead letters: one job, those that match all of the other fields, or with `everything` all."""

    job_id: Id | None = None
    outcome: Outcome | None = None
    user_id: Id | None = None
    trader_id: Id | None = None
    batch_id: Id | None = None
    code: Id | None = None
    everything: bool = False


class Replayed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A dead letter that was enqueued again, and its new job."""

    job_id: str
    new_job_id: str


class NotReplayed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A dead letter that stays, and why."""

    job_id: str
    reason: str


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of the selected dead letters."""

    replayed: list[Replayed]
    refused: list[NotReplayed]


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters were deleted."""

    dropped: int


@get("/dead-letters", opt={"scope": Scope.READ})
async def list_letters(
    request: AnyRequest,
    outcome: OutcomeFilter = None,
    user_id: UserFilter = None,
    trader_id: TraderFilter = None,
    batch_id: BatchFilter = None,
    code: CodeFilter = None,
    limit: Limit = 100,
    start_us: Start = None,
) -> Response[list[dict[str, Any]]]:
    """Return the dead letters that match all given parameters, newest first.

    The header Link has the next page, if there is one. A page with filters may be short, or empty: 2,000 letters are
    looked at for each.
    """
    require_unbound(request)
    page = await gateway_of(request).producer.dead.page(
        start_us=start_us, limit=limit, outcome=outcome, user_id=user_id, trader_id=trader_id, batch_id=batch_id,
        code=code,
    )  # fmt: skip
    headers = {} if page.next_us is None else next_page(request, limit=limit, startUs=page.next_us)
    return Response([to_builtins(letter) for letter in page.letters], headers=headers)


@get("/dead-letters/{job_id:str}", opt={"scope": Scope.READ})
async def show_letter(request: AnyRequest, job_id: FromPath[str]) -> dict[str, Any]:
    """Return the dead letter of a change."""
    require_unbound(request)
    letter: DeadLetter = await gateway_of(request).producer.dead.get(job_id)
    found: dict[str, Any] = to_builtins(letter)
    return found


@post("/dead-letters/replay", status_code=OK, opt={"scope": Scope.OPERATE})
async def replay(request: AnyRequest) -> ReplayReport:
    """Enqueue the selected dead letters again, at the ends of their lanes. It is safe to repeat."""
    require_unbound(request)
    selection = await _selection(request)
    report = await gateway_of(request).producer.dead.replay(**selection)
    log_call(request, "replay", "dead letters", len(report.replayed))
    return ReplayReport(
        replayed=[Replayed(job_id=old, new_job_id=new) for old, new in report.replayed],
        refused=[NotReplayed(job_id=old, reason=reason) for old, reason in report.refused],
    )


@post("/dead-letters/drop", status_code=OK, opt={"scope": Scope.OPERATE})
async def drop(request: AnyRequest) -> Dropped:
    """Delete the selected dead letters."""
    require_unbound(request)
    dropped = await gateway_of(request).producer.dead.drop(**(await _selection(request)))
    log_call(request, "drop", "dead letters", dropped)
    return Dropped(dropped=dropped)


async def _selection(request: AnyRequest) -> dict[str, Any]:
    letters = await read_message(request, Letters)
    filters = (letters.outcome, letters.user_id, letters.trader_id, letters.batch_id, letters.code)
    kinds = (letters.job_id is not None) + any(value is not None for value in filters) + letters.everything
    if kinds != 1:
        rule = (
            "must have jobId alone, everything alone, or one or more of outcome, userId, traderId, batchId and code,"
            " which must all match"
        )
        raise InvalidBody("body", rule, {name: value for name, value in msgspec.to_builtins(letters).items() if value})
    return msgspec.structs.asdict(letters)


ROUTES = [list_letters, show_letter, replay, drop]
