"""What a fan-out over HTTP is made of: the message of JSON, and the templates of JSON and of rows."""

from __future__ import annotations

from typing import Any

import msgspec

from producers import InvalidChange
from producers.cli.input.row_errors import BadInput
from producers.cli.input.template import Template
from producers.contract.messages import AutoCopy, Mode, Priority, SettingsChange
from producers.contract.reader import change_from_wire
from producers.gateway.calls.service import AnyRequest, key_of, require_lane

PLACEHOLDER_USER = "1"
TEMPLATE_FIELDS = ("trader_id", "settings", "user_ids", "auto_copy", "mode")


class NewBatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A fan-out: one template for many users, or a change for each.

    Attributes:
        trader_id: the trader of every change.
        settings: the settings of every change, one to ten.
        user_ids: the users, one change each.
        auto_copy: the same field of every change.
        mode: the same field of every change.
        changes: the changes, instead of the fields above.
        batch_id: the batch's ID. The same body with the same ID again adds only what is missing.
        ttl_s: seconds after which a change ends `expired`.
        priority: `bulk` lets lanes with interactive changes go first.
        all_or_nothing: whether nothing is enqueued if one item cannot be accepted.
        dry_run: whether nothing is written; the answer says what would be enqueued if no lane is full.
    """

    trader_id: str | None = None
    settings: list[Any] | None = None
    user_ids: list[Any] | None = None
    auto_copy: AutoCopy | None = None
    mode: Mode | None = None
    changes: list[msgspec.Raw] | None = None
    batch_id: str | None = None
    ttl_s: float | None = None
    priority: Priority = Priority.BULK
    all_or_nothing: bool = False
    dry_run: bool = False


def template_change(request: AnyRequest, new: NewBatch) -> SettingsChange:
    """Return the change that all users of a batch share, with a placeholder for the user."""
    fields: dict[str, Any] = {"userId": PLACEHOLDER_USER, "settings": new.settings}
    names = {"traderId": new.trader_id, "autoCopy": new.auto_copy, "mode": new.mode}
    fields |= {name: value for name, value in names.items() if value is not None}
    change = change_from_wire({name: value for name, value in fields.items() if value is not None})
    if not key_of(request).user_ids:
        require_lane(request, PLACEHOLDER_USER, change.trader_id)
    return change


def template_of_rows(trader_id: str | None, settings: str | None) -> Template:
    """Return the template of rows."""
    try:
        found = Template.from_json(msgspec.json.decode(settings)) if settings is not None else Template({}, ())
    except (msgspec.MsgspecError, UnicodeError, RecursionError, BadInput) as exc:
        raise InvalidChange("settings", f"must be a list of settings in JSON ({exc})", settings) from exc
    return found.with_fields({"trader_id": trader_id} if trader_id is not None else {})
