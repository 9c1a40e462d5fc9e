"""JSON lines: user IDs, objects with a user and what is special about it, or whole changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from producers.cli.input import json_text
from producers.cli.input.csv_rows import Lines, Row
from producers.cli.input.fields import ROW_FIELDS, SETTING_FIELDS, field_named, unknown_field
from producers.cli.input.row_errors import BadInput, Fault
from producers.errors import InvalidChange, abbreviated


def json_rows(lines: Lines, *, ignore_other_columns: bool = False) -> Iterator[tuple[int, Row | Fault]]:
    """The rows, with their line numbers.

    Args:
        lines: of the file.
        ignore_other_columns: whether names that are no fields are passed over.

    Raises:
        BadInput: it is one JSON array, not a value a line.
    """
    begun = False
    for number, line in lines:
        if isinstance(line, Fault):
            yield number, line
            continue
        if not begun and line.startswith("["):
            raise BadInput("this is one JSON array; write one value a line: jq -c '.[]' FILE | copytrade fan-out - ...")
        begun = True
        try:
            yield number, _row(json_text.decode(line), ignore_others=ignore_other_columns)
        except ValueError as exc:
            yield number, Fault(number, "line", f"must be one JSON value: {exc}", abbreviated(line))
        except InvalidChange as exc:
            yield number, Fault.of(number, exc)


def fields_of(given: Mapping[str, Any], *, ignore_others: bool = False) -> Row:
    """The fields of an object that is a change, a part of one, or one flat setting with what goes beside it.

    Raises:
        InvalidChange: a name is no field or is there twice, or the settings are no list of objects.
    """
    row = _named(given, (*ROW_FIELDS, "settings"), "", ignore_others=ignore_others)
    if "settings" in row:
        if not isinstance(row["settings"], list):
            raise InvalidChange("settings", "must be a list of settings", row["settings"])
        row["settings"] = [
            setting_fields(setting, f"settings[{index}]", ignore_others=ignore_others)
            for index, setting in enumerate(row["settings"])
        ]
    return row


def setting_fields(given: object, where: str, *, ignore_others: bool = False) -> Row:
    """The fields of one setting.

    Raises:
        InvalidChange: it is no object, or a name is no field or is there twice.
    """
    if not isinstance(given, dict):
        raise InvalidChange(where, "must be an object", given)
    return _named(given, SETTING_FIELDS, f"{where}.", ignore_others=ignore_others)


def _row(value: object, *, ignore_others: bool) -> Row:
    if isinstance(value, str):
        return {"user_id": value}
    if isinstance(value, dict):
        return {"user_id": "", **fields_of(value, ignore_others=ignore_others)}
    raise InvalidChange("line", 'must be a user ID or an object such as {"userId": "1001"}', value)


def _named(given: Mapping[str, Any], known: tuple[str, ...], where: str, *, ignore_others: bool) -> Row:
    row: Row = {}
    for name, value in given.items():
        field = field_named(name)
        if field not in known:
            if not ignore_others:
                raise InvalidChange(f"{where}{name}", unknown_field(name, (f for f in known if f != "settings")), value)
        elif field in row:
            raise InvalidChange(f"{where}{name}", "must be there once; it is there in another spelling too", value)
        elif value is not None:
            row[str(field)] = value
    return row
