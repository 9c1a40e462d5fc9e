"""JSON-lines files of followers. A line is a user ID, an object with a userId and other fields, or a whole change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from producers.cli.input import json_text
from producers.cli.input.csv_rows import Lines, Row
from producers.cli.input.fields import ROW_FIELDS, SETTING_FIELDS, find_field, unknown_field
from producers.cli.input.row_errors import BadInput, RowError
from producers.cli.json_output import abbreviated_json
from producers.errors import InvalidChange, printable_name


def json_rows(lines: Lines, *, ignore_other_columns: bool = False) -> Iterator[tuple[int, Row | RowError | None]]:
    """Yield the rows with their line numbers; None for a blank line.

    Args:
        lines: the lines of the file.
        ignore_other_columns: whether to skip names that are not fields.

    Raises:
        BadInput: the file is one JSON array instead of one value a line.
    """
    is_first = True
    for number, line in lines:
        if isinstance(line, RowError) or not line:
            yield number, line or None
            continue
        if is_first and line.startswith("["):
            raise BadInput(
                "this is one JSON array; write one value a line", ": jq -c '.[]' FILE | copytrade fan-out - ..."
            )
        is_first = False
        try:
            yield number, _row(json_text.decode(line), ignore_others=ignore_other_columns)
        except ValueError as exc:
            yield number, RowError(number, "line", f"must be one JSON value: {exc}", abbreviated_json(line))
        except InvalidChange as exc:
            yield number, RowError.from_invalid_change(number, exc)


def change_fields(value: Mapping[str, Any], *, ignore_others: bool = False) -> Row:
    """Return the fields of a change or a part of one. Fields of its only setting may stand beside its own.

    Raises:
        InvalidChange: a name is unknown or repeated, or `settings` is not a list of objects.
    """
    row = _by_field(value, (*ROW_FIELDS, "settings"), "", ignore_others=ignore_others)
    if "settings" in row:
        if not isinstance(row["settings"], list):
            raise InvalidChange("settings", "must be a list of settings", row["settings"])
        row["settings"] = [
            setting_fields(setting, f"settings[{index}]", ignore_others=ignore_others)
            for index, setting in enumerate(row["settings"])
        ]
    return row


def setting_fields(value: object, where: str, *, ignore_others: bool = False) -> Row:
    """Return the fields of one setting.

    Raises:
        InvalidChange: the setting is not an object, or a name is unknown or repeated.
    """
    if not isinstance(value, dict):
        raise InvalidChange(where, "must be an object", value)
    return _by_field(value, SETTING_FIELDS, f"{where}.", ignore_others=ignore_others)


def _row(value: object, *, ignore_others: bool) -> Row:
    if isinstance(value, str):
        return {"user_id": value}
    if isinstance(value, dict):
        return {"user_id": None, **change_fields(value, ignore_others=ignore_others)}
    raise InvalidChange(
        "line", 'must be a user ID or an object such as {"userId": "1001"}', "null" if value is None else value
    )


def _by_field(items: Mapping[str, Any], known: tuple[str, ...], where: str, *, ignore_others: bool) -> Row:
    row: Row = {}
    for name, value in items.items():
        field = find_field(name)
        if field not in known:
            if not ignore_others:
                raise InvalidChange(
                    f"{where}{printable_name(name)}", unknown_field(name, (f for f in known if f != "settings")), value
                )
        elif field in row:
            raise InvalidChange(
                f"{where}{printable_name(name)}", "must appear once; it is repeated in another spelling", value
            )
        elif value is not None:
            row[str(field)] = value
    return row
