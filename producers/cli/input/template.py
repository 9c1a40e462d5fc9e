"""The change that all followers get, as far as it is the same for all; a row fills in the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, cast

from producers.cli.input.fields import CHANGE_FIELDS, SETTING_FIELDS, WIRE_NAMES
from producers.cli.input.json_rows import fields_of, setting_fields
from producers.cli.input.row_errors import BadInput
from producers.contract.messages import CopySetting, SettingsChange
from producers.contract.validation import check
from producers.errors import InvalidChange

ANYBODY = "1"
"""Stands for a user where only the rest of a change is judged."""

_rounded = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE][+]?[0-9]+|[0-9]+\.[0-9]*").fullmatch
_ROUNDED_RULE = "must be the whole ID as text; a spreadsheet has made a rounded number of it"


@dataclass(frozen=True)
class Template:
    """What is known of a change beside its user.

    Attributes:
        fields: of the change itself, by Python names.
        settings: the fields of each setting, by Python names.
    """

    fields: Mapping[str, object]
    settings: tuple[Mapping[str, object], ...]

    @classmethod
    def of(cls, given: object) -> Self:
        """A template of a JSON value: a list of settings, one setting, or a change without its user.

        Raises:
            BadInput: it is none of these.
        """
        try:
            if isinstance(given, list):
                settings = [setting_fields(setting, f"settings[{index}]") for index, setting in enumerate(given)]
                return cls({}, tuple(settings))
            if isinstance(given, dict):
                return cls._of_row(fields_of(given))
        except InvalidChange as exc:
            raise BadInput(str(exc)) from exc
        raise BadInput("settings must be a JSON list of settings, or an object")

    @classmethod
    def _of_row(cls, row: Mapping[str, Any]) -> Self:
        flat = {name: value for name, value in row.items() if name in SETTING_FIELDS}
        if flat and "settings" in row:
            raise BadInput(f"settings: cannot stand beside {', '.join(flat)}, which make a setting of their own")
        fields = {name: value for name, value in row.items() if name in CHANGE_FIELDS}
        return cls(fields, tuple(row.get("settings", [flat] if flat else [])))

    def with_fields(self, given: Mapping[str, object]) -> Self:
        """The template with some fields set or replaced, whether of the change or of its one setting.

        Raises:
            BadInput: a setting's field is given, and there are several settings.
        """
        flat = {name: value for name, value in given.items() if name in SETTING_FIELDS}
        settings = self.settings
        if flat:
            if len(settings) > 1:
                raise BadInput(
                    f"{', '.join(flat)}: which of the {len(settings)} settings is meant? Write it in the file"
                )
            settings = ({**(settings[0] if settings else {}), **flat},)
        fields = {name: value for name, value in given.items() if name in CHANGE_FIELDS}
        return replace(self, fields={**self.fields, **fields}, settings=settings)

    def change(self, row: Mapping[str, Any]) -> SettingsChange:
        """The change of a row.

        Raises:
            InvalidChange: it breaks a rule.
            BadInput: the template itself does, so that every row would.
        """
        user_id = row.get("user_id", self.fields.get("user_id"))
        fields = {**self._of_all, "user_id": user_id} if set(row) == {"user_id"} else self._special(row, user_id)
        for name in ("user_id", "trader_id"):
            value = fields.get(name)
            if isinstance(value, str) and _rounded(value):
                raise InvalidChange(WIRE_NAMES[name], _ROUNDED_RULE, value)
        change = _change(fields)
        check(change)
        return change

    def common(self) -> SettingsChange:
        """The change that whoever is only named gets, for anybody.

        Raises:
            BadInput: it breaks a rule.
        """
        return _change({**self._of_all, "user_id": ANYBODY})

    @cached_property
    def _of_all(self) -> dict[str, Any]:
        built = {**self.fields, "settings": [_setting(setting) for setting in self.settings]}
        try:
            check(_change({**built, "user_id": ANYBODY}))
        except InvalidChange as exc:
            raise BadInput(f"for every follower: {exc}") from exc
        return built

    def _special(self, row: Mapping[str, Any], user_id: object) -> dict[str, Any]:
        flat = {name: value for name, value in row.items() if name in SETTING_FIELDS}
        if "settings" in row:
            if flat:
                raise InvalidChange("settings", f"cannot stand beside {', '.join(flat)}", len(row["settings"]))
            settings = row["settings"]
        elif flat and len(self.settings) > 1:
            rule = f"cannot be given by a row, as there are {len(self.settings)} settings for all"
            raise InvalidChange(next(iter(flat)), rule, next(iter(flat.values())))
        elif flat:
            settings = [{**(self.settings[0] if self.settings else {}), **flat}]
        else:
            settings = self.settings
        fields = {name: value for name, value in row.items() if name in CHANGE_FIELDS}
        built = [_setting(setting) for setting in settings]
        return {**self.fields, **fields, "user_id": user_id, "settings": built}


def _change(fields: Mapping[str, Any]) -> SettingsChange:
    """A change of what is there; `check` names what is missing."""
    return SettingsChange(**{"user_id": None, "trader_id": None, **fields})


def _setting(fields: Mapping[str, Any]) -> CopySetting:
    required = dict.fromkeys(("symbol", "product_type", "margin_type", "lever_type", "trace_type"))
    return CopySetting(**cast("dict[str, Any]", {**required, **fields}))
