"""The template of a fan-out: the fields that all changes share. Each row adds or replaces fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, cast

from producers.cli.input.fields import CHANGE_FIELDS, SETTING_FIELDS, WIRE_NAMES
from producers.cli.input.json_rows import change_fields, setting_fields
from producers.cli.input.row_errors import BadInput, describe
from producers.cli.input.spreadsheets import id_rule, number_rule, placeholder_rule
from producers.contract.messages import CopySetting, SettingsChange
from producers.contract.validation import check_change
from producers.errors import InvalidChange

PLACEHOLDER_USER = "1"
"""User ID for validating the template before any row is read."""

_SETTING_RULES: dict[str, Callable[[str], str | None]] = {
    **dict.fromkeys(("symbol", "margin_coin"), placeholder_rule),
    **dict.fromkeys(("long_leverage", "short_leverage", "trace_value", "max_hold_size"), number_rule),
    **dict.fromkeys(("stop_surplus_ratio", "stop_loss_ratio"), number_rule),
}
"""What is looked for in the fields of a setting beside the rules of the exchange."""


@dataclass(frozen=True)
class Template:
    """The fields that all changes share.

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
            raise BadInput(describe(exc)) from exc
        raise BadInput("settings must be a JSON list of settings, or an object")

    @classmethod
    def _from_row(cls, row: Mapping[str, Any]) -> Self:
        inline = _select(SETTING_FIELDS, row)
        if inline and "settings" in row:
            raise BadInput(f"settings: cannot be combined with {', '.join(inline)}, which are a setting of their own")
        return cls(_select(CHANGE_FIELDS, row), tuple(row.get("settings", [inline] if inline else [])))

    def with_fields(self, fields: Mapping[str, object]) -> Self:
        """Return a copy in which `fields` are set or replaced, in the change or in its only setting.

        Raises:
            BadInput: `fields` has a field of a setting, but the template has several settings.
        """
        inline = _select(SETTING_FIELDS, fields)
        if inline and len(self.settings) > 1:
            raise BadInput(
                f"{', '.join(inline)}: which of the {len(self.settings)} settings is meant? Set it in the file"
            )
        settings = ({**_first_or_empty(self.settings), **inline},) if inline else self.settings
        return replace(self, fields={**self.fields, **_select(CHANGE_FIELDS, fields)}, settings=settings)

    def change(self, row: Mapping[str, Any]) -> SettingsChange:
        """Return the validated change of a row.

        Raises:
            InvalidChange: the row makes it invalid.
            BadInput: the template itself is invalid.
        """
        user_id = row.get("user_id", self.fields.get("user_id"))
        fields = {**self._common, "user_id": user_id} if set(row) == {"user_id"} else self._merge(row, user_id)
        change = _change(fields)
        _check_ids(change)
        if set(row) != {"user_id"}:
            _check_settings(change)
        check_change(change)
        return change

    def common_change(self) -> SettingsChange:
        """Return the change of a row that has only a user ID, with `PLACEHOLDER_USER`.

        Raises:
            BadInput: the change is invalid.
        """
        return _change({**self._common, "user_id": PLACEHOLDER_USER})

    @cached_property
    def _common(self) -> dict[str, Any]:
        fields = {**self.fields, "settings": [_setting(setting) for setting in self.settings] or None}
        try:
            change = _change({**fields, "user_id": PLACEHOLDER_USER})
            _check_ids(change)
            _check_settings(change)
            check_change(change)
        except InvalidChange as exc:
            hint = "; give it by a flag or with --settings" if exc.value is None else ""
            raise BadInput(f"for every follower: {describe(exc)}", hint) from exc
        return fields

    def _merge(self, row: Mapping[str, Any], user_id: object) -> dict[str, Any]:
        inline = _select(SETTING_FIELDS, row)
        if "settings" in row:
            if inline:
                raise InvalidChange("settings", f"cannot be combined with {', '.join(inline)}", len(row["settings"]))
            settings = row["settings"]
        elif inline and len(self.settings) > 1:
            rule = f"cannot be set by a row, because there are {len(self.settings)} settings for all"
            raise InvalidChange(next(iter(inline)), rule, next(iter(inline.values())))
        else:
            settings = [{**_first_or_empty(self.settings), **inline}] if inline else self.settings
        built = [_setting(setting) for setting in settings] or (None if settings is self.settings else [])
        return {**self.fields, **_select(CHANGE_FIELDS, row), "user_id": user_id, "settings": built}


def _select(names: tuple[str, ...], fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name in names}


def _first_or_empty(settings: tuple[Mapping[str, object], ...]) -> Mapping[str, object]:
    return settings[0] if settings else {}


def _change(fields: Mapping[str, Any]) -> SettingsChange:
    """Return a change with None for missing fields, which `check` then reports."""
    return SettingsChange(**{"user_id": None, "trader_id": None, **fields})


def _setting(fields: Mapping[str, Any]) -> CopySetting:
    required = dict.fromkeys(("symbol", "product_type", "margin_type", "lever_type", "trace_type"))
    return CopySetting(**cast("dict[str, Any]", {**required, **fields}))


def _check_ids(change: SettingsChange) -> None:
    """Raise InvalidChange if a file's program damaged the user's or the trader's ID."""
    for name, value in (("userId", change.user_id), ("traderId", change.trader_id)):
        _check(name, value, id_rule)


def _check_settings(change: SettingsChange) -> None:
    """Raise InvalidChange if a file's program put something else in the place of a symbol, coin or number."""
    for index, setting in enumerate(change.settings or ()):
        for field, find_rule in _SETTING_RULES.items():
            _check(f"settings[{index}].{WIRE_NAMES[field]}", getattr(setting, field), find_rule)


def _check(name: str, value: object, find_rule: Callable[[str], str | None]) -> None:
    rule = find_rule(value) if isinstance(value, str) else None
    if rule is not None:
        raise InvalidChange(name, rule, value)
