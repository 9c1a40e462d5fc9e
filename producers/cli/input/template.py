"""The part of a change that is the same for all followers; each row adds the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, cast

from producers.cli.input.fields import CHANGE_FIELDS, SETTING_FIELDS, WIRE_NAMES
from producers.cli.input.json_rows import change_fields, setting_fields
from producers.cli.input.row_errors import BadInput
from producers.contract.messages import CopySetting, SettingsChange
from producers.contract.validation import check_change
from producers.errors import InvalidChange

PLACEHOLDER_USER = "1"
"""User ID with which the common part is validated."""

_rounded_number = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE][+]?[0-9]+|[0-9]+\.[0-9]*").fullmatch
_ROUNDED_RULE = "must be the whole ID as text; a spreadsheet has turned it into a rounded number"


@dataclass(frozen=True)
class Template:
    """The common part of all changes.

    Attributes:
        fields: fields of the change, by their Python names.
        settings: the fields of each setting, by their Python names.
    """

    fields: Mapping[str, object]
    settings: tuple[Mapping[str, object], ...]

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return the template of a JSON value: a list of settings, one setting, or a change without its user.

        Raises:
            BadInput: the value is none of these.
        """
        try:
            if isinstance(value, list):
                settings = [setting_fields(setting, f"settings[{index}]") for index, setting in enumerate(value)]
                return cls({}, tuple(settings))
            if isinstance(value, dict):
                return cls._from_row(change_fields(value))
        except InvalidChange as exc:
            raise BadInput(str(exc)) from exc
        raise BadInput("settings must be a JSON list of settings, or an object")

    @classmethod
    def _from_row(cls, row: Mapping[str, Any]) -> Self:
        flat = _only(SETTING_FIELDS, row)
        if flat and "settings" in row:
            raise BadInput(f"settings: cannot be combined with {', '.join(flat)}, which are a setting of their own")
        return cls(_only(CHANGE_FIELDS, row), tuple(row.get("settings", [flat] if flat else [])))

    def with_fields(self, fields: Mapping[str, object]) -> Self:
        """Return a copy in which `fields` are set or replaced, in the change or in its only setting.

        Raises:
            BadInput: there is a field of a setting, but several settings.
        """
        flat = _only(SETTING_FIELDS, fields)
        if flat and len(self.settings) > 1:
            raise BadInput(
                f"{', '.join(flat)}: which of the {len(self.settings)} settings is meant? Set it in the file"
            )
        settings = ({**_first(self.settings), **flat},) if flat else self.settings
        return replace(self, fields={**self.fields, **_only(CHANGE_FIELDS, fields)}, settings=settings)

    def change(self, row: Mapping[str, Any]) -> SettingsChange:
        """Return the change of a row.

        Raises:
            InvalidChange: the row makes it invalid.
            BadInput: the template is invalid, and so every change would be.
        """
        user_id = row.get("user_id", self.fields.get("user_id"))
        fields = {**self._common, "user_id": user_id} if set(row) == {"user_id"} else self._merge(row, user_id)
        for name in ("user_id", "trader_id"):
            value = fields.get(name)
            if isinstance(value, str) and _rounded_number(value):
                raise InvalidChange(WIRE_NAMES[name], _ROUNDED_RULE, value)
        change = _change(fields)
        check_change(change)
        return change

    def common_change(self) -> SettingsChange:
        """Return the change of a row with only a user ID, for a placeholder user.

        Raises:
            BadInput: the change is invalid.
        """
        return _change({**self._common, "user_id": PLACEHOLDER_USER})

    @cached_property
    def _common(self) -> dict[str, Any]:
        fields = {**self.fields, "settings": [_setting(setting) for setting in self.settings]}
        try:
            check_change(_change({**fields, "user_id": PLACEHOLDER_USER}))
        except InvalidChange as exc:
            raise BadInput(f"for every follower: {exc}") from exc
        return fields

    def _merge(self, row: Mapping[str, Any], user_id: object) -> dict[str, Any]:
        flat = _only(SETTING_FIELDS, row)
        if "settings" in row:
            if flat:
                raise InvalidChange("settings", f"cannot be combined with {', '.join(flat)}", len(row["settings"]))
            settings = row["settings"]
        elif flat and len(self.settings) > 1:
            rule = f"cannot be set by a row, because there are {len(self.settings)} settings for all"
            raise InvalidChange(next(iter(flat)), rule, next(iter(flat.values())))
        else:
            settings = [{**_first(self.settings), **flat}] if flat else self.settings
        built = [_setting(setting) for setting in settings]
        return {**self.fields, **_only(CHANGE_FIELDS, row), "user_id": user_id, "settings": built}


def _only(names: tuple[str, ...], fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name in names}


def _first(settings: tuple[Mapping[str, object], ...]) -> Mapping[str, object]:
    return settings[0] if settings else {}


def _change(fields: Mapping[str, Any]) -> SettingsChange:
    """Return a change with None for missing fields; `check` names them."""
    return SettingsChange(**{"user_id": None, "trader_id": None, **fields})


def _setting(fields: Mapping[str, Any]) -> CopySetting:
    required = dict.fromkeys(("symbol", "product_type", "margin_type", "lever_type", "trace_type"))
    return CopySetting(**cast("dict[str, Any]", {**required, **fields}))
