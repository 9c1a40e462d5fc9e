"""Fan-outs: a new batch from JSON, NDJSON or CSV."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Response, post
from litestar.params import QueryParameter

from producers import Batch, BatchRefused, InvalidArgument, Preview
from producers.cli.json_output import camel_case
from producers.contract.access_keys import AccessKey, Scope
from producers.contract.messages import Priority, SettingsChange
from producers.contract.reader import read_change
from producers.contract.validation import check_user_id
from producers.gateway.api.changes import Ttl
from producers.gateway.api.new_batch import TEMPLATE_FIELDS, NewBatch, template_change, template_of_rows
from producers.gateway.api.rows import Rows, problem_of, spooled
from producers.gateway.calls.bodies import CSV, JSON, NDJSON, decode, media_type, read_body
from producers.gateway.calls.identity import MAX_BATCH_KEY_CHARS, new_id
from producers.gateway.calls.items import Checked, check_items, nothing_enqueued
from producers.gateway.calls.problem_document import MAX_ROWS_SHOWN, RowProblem
from producers.gateway.calls.problems import BadRows, InvalidBody, NotPermitted
from producers.gateway.calls.service import ACCEPTED, OK, AnyRequest, gateway_of, key_of, location, require_id

BatchId = Annotated[str | None, QueryParameter(name="batchId", description="Of NDJSON and CSV: the batch's ID.")]
AllOrNothing = Annotated[
    bool, QueryParameter(name="allOrNothing", description="Enqueue nothing if one item cannot be accepted.")
]
DryRun = Annotated[
    bool, QueryParameter(name="dryRun", description="Write nothing; return what would be enqueued if no lane is full.")
]
Trader = Annotated[str | None, QueryParameter(name="traderId", description="Of NDJSON and CSV: the trader of all.")]
Settings = Annotated[
    str | None, QueryParameter(name="settings", description="Of NDJSON and CSV: the settings of all, as JSON.")
]


class BatchReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of a fan-out.

    Attributes:
        batch_id: the batch; None of a dry run.
        given: how many items there were.
        accepted: how many changes were added; of a dry run, how many would be.
        already_there: how many were accepted before.
        refused: the other items: by their place from 0, or their line from 1.
        refused_left_out: how many more there are.
    """

    batch_id: str | None
    given: int
    accepted: int
    already_there: int
    refused: list[RowProblem]
    refused_left_out: int = 0


@post("/batches", status_code=ACCEPTED, opt={"scope": Scope.ENQUEUE})
async def fan_out(
    request: AnyRequest,
    batch_id: BatchId = None,
    ttl_s: Ttl = None,
    priority: Annotated[Priority, QueryParameter(name="priority")] = Priority.BULK,
    trader_id: Trader = None,
    settings: Settings = None,
    all_or_nothing: AllOrNothing = False,
    dry_run: DryRun = False,
) -> Response[BatchReport]:
    """Put changes for many users into the queue as one batch.

    The body is JSON (`NewBatch`), or rows: CSV with a header (`user_id`, and further fields of a change), or NDJSON (a
    user ID, an object with a `userId`, or a change). The parameters are for rows only; JSON has them in the body.
    """
    kind = media_type(request, JSON, NDJSON, CSV)
    limits = gateway_of(request).settings
    if kind == JSON:
        if request.query_params:
            raise InvalidArgument("query", "must be empty, since JSON has these fields in its body", request.url.query)
        new = decode(await read_body(request, limits.gateway_body_bytes), NewBatch)
        return await _fan_out_json(request, new)
    template = template_of_rows(trader_id, settings)
    options: dict[str, Any] = {"ttl_s": ttl_s, "priority": priority, "all_or_nothing": all_or_nothing}
    async with spooled(request, limits.gateway_rows_bytes) as stream:
        rows = Rows(stream, "csv" if kind == CSV else "jsonl", template, key_of(request))
        checked = await rows.validate(limits.gateway_rows)
        errors = [problem_of(row) for row in checked.errors[:MAX_ROWS_SHOWN]]
        if checked.invalid and (all_or_nothing or not checked.valid):
            raise BadRows(f"{checked.invalid} rows are invalid; nothing was enqueued", errors, total=checked.invalid)
        if dry_run:
            return answer(request, _preview(checked.valid, errors, checked.invalid))
        options["batch_id"] = _batch_id(request, batch_id)
        if checked.users_only:
            shared = template.common_change()
            options |= {
                "trader_id": shared.trader_id, "settings": shared.settings, "user_ids": rows.users(),
                "auto_copy": shared.auto_copy, "mode": shared.mode,
            }  # fmt: skip
        else:
            options["changes"] = rows.changes()
        items = Checked[Any](places=rows.valid_lines, invalid=checked.invalid, errors=errors, are_rows=True)
        return await _submit(request, items, options)


async def _fan_out_json(request: AnyRequest, new: NewBatch) -> Response[BatchReport]:
    producer, key = gateway_of(request).producer, key_of(request)
    options: dict[str, Any] = {"ttl_s": new.ttl_s, "priority": new.priority, "all_or_nothing": new.all_or_nothing}
    limits: dict[str, Any] = {"most": gateway_of(request).settings.gateway_rows, "all_or_nothing": new.all_or_nothing}
    checked: Checked[Any]
    if new.changes is not None:
        shared = [name for name in TEMPLATE_FIELDS if getattr(new, name) is not None]
        if shared:
            raise InvalidBody("changes", f"cannot be combined with {', '.join(map(camel_case, shared))}", shared)
        checked = await check_items(new.changes, lambda item: _change(key, item), **limits)
        options["changes"] = checked.valid
    else:
        template = template_change(request, new)
        checked = await check_items(new.user_ids or [], lambda item: _user(key, item, template.trader_id), **limits)
        options |= {
            "trader_id": template.trader_id, "settings": template.settings, "user_ids": checked.valid,
            "auto_copy": template.auto_copy, "mode": template.mode,
        }  # fmt: skip
    if new.dry_run:
        preview: Preview = await producer.fan_out(**options, dry_run=True)
        refused = checked.refused(preview.refused)
        return answer(request, _preview(len(preview.changes), refused, checked.invalid + len(preview.refused)))
    options["batch_id"] = _batch_id(request, new.batch_id)
    return await _submit(request, checked, options)


async def _submit(request: AnyRequest, checked: Checked[Any], options: dict[str, Any]) -> Response[BatchReport]:
    try:
        batch: Batch = await gateway_of(request).producer.fan_out(**options)
    except BatchRefused as exc:
        raise nothing_enqueued(checked, exc.refused, together=True) from exc
    report = batch.report
    if report is not None and report.refused and not report.accepted + report.already_there:
        raise nothing_enqueued(checked, report.refused, again=f"with the batch ID {batch.batch_id}, which is empty,")
    return answer(request, report_of(batch, checked))


def report_of(batch: Batch, checked: Checked[Any] | None = None) -> BatchReport:
    """Return what became of a fan-out, and of the items that were invalid before: the errors of some of them."""
    report = batch.report
    if report is None:
        raise RuntimeError("a fan-out reports")
    checked = checked or Checked(places=range(report.given))
    refused = checked.refused(report.refused)
    return BatchReport(
        batch_id=batch.batch_id,
        given=report.given + checked.invalid,
        accepted=report.accepted,
        already_there=report.already_there,
        refused=refused,
        refused_left_out=len(report.refused) + checked.invalid - len(refused),
    )


def answer(request: AnyRequest, report: BatchReport) -> Response[BatchReport]:
    """Return the response to a fan-out."""
    if report.batch_id is None:
        return Response(report, status_code=OK)
    headers = {"Location": location(request, "/v1/batches", report.batch_id)}
    return Response(report, status_code=ACCEPTED, headers=headers)


def _preview(valid: int, errors: list[RowProblem], invalid: int) -> BatchReport:
    return BatchReport(
        batch_id=None,
        given=valid + invalid,
        accepted=valid,
        already_there=0,
        refused=errors,
        refused_left_out=invalid - len(errors),
    )


def _change(key: AccessKey, item: msgspec.Raw) -> SettingsChange:
    change = read_change(bytes(item))
    _require_lane(key, change.user_id, change.trader_id)
    return change


def _user(key: AccessKey, item: object, trader_id: str) -> str:
    check_user_id(item)
    _require_lane(key, str(item), trader_id)
    return str(item)


def _require_lane(key: AccessKey, user_id: str, trader_id: str) -> None:
    if not key.permits_lane(user_id, trader_id):
        raise NotPermitted(f"access key {key.key_id} is not for user {user_id} and trader {trader_id}")


def _batch_id(request: AnyRequest, given: str | None) -> str:
    """Return the ID that a batch is given: its own, that of the Idempotency-Key, or a new one."""
    if given is not None:
        require_id(request, given)
        return given
    return new_id(request, MAX_BATCH_KEY_CHARS)


ROUTES = [fan_out]
