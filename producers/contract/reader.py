"""Reading changes that other programs wrote, in JSON or msgpack, by wire names. No I/O.

Every error is an `InvalidChange`, with the field in wire names, the rule, and the value. An unknown field is an error,
since it may be a misspelt setting.
"""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from producers.contract.messages import CopySetting, SettingsChange
from producers.contract.validation import change_violation
from producers.errors import MAX_VALUE_CHARS, MISSING, InvalidArgument, InvalidChange, printable_name

Encoding = Literal["json", "msgpack"]

_decoders: Mapping[Encoding, Callable[[bytes | str], Any]] = {
    "json": msgspec.json.decode,
    "msgpack": lambda body: msgspec.msgpack.decode(body.encode() if isinstance(body, str) else body),
}

_NAMES: Mapping[Encoding, str] = {"json": "JSON", "msgpack": "MessagePack"}

_CHANGE_FIELDS = dict(zip(SettingsChange.__struct_encode_fields__, SettingsChange.__struct_fields__, strict=True))
_SETTING_FIELDS = dict(zip(CopySetting.__struct_encode_fields__, CopySetting.__struct_fields__, strict=True))
_REQUIRED = frozenset(
    field.encode_name
    for struct in (SettingsChange, CopySetting)
    for field in msgspec.structs.fields(struct)
    if field.required
)


def read_change(body: bytes | str, *, encoding: Encoding = "json") -> SettingsChange:
    """Return the change in a body, such as `{"userId": ..., "traderId": ..., "settings": [...]}`.

    Raises:
        InvalidArgument: the body is not bytes or text, or there is no such encoding.
        InvalidChange: the body is no such object, lacks a field or has an unknown one, or breaks a rule.
    """
    return change_from_wire(_decode(body, encoding))


def read_changes(body: bytes | str, *, encoding: Encoding = "json") -> list[SettingsChange]:
    """Return the changes in a body that is a list of them.

    Raises:
        InvalidChange: one of them is invalid; its field begins with its place, such as `[2].userId`, from 0.
    """
    values = _decode(body, encoding)
    if not isinstance(values, list):
        raise InvalidChange("changes", "must be a list of changes", values)
    return [change_from_wire(value, where=f"[{index}]") for index, value in enumerate(values)]


def change_from_wire(value: object, *, where: str = "") -> SettingsChange:
    """Return the change that a decoded message is.

    Args:
        value: a dict in wire names.
        where: the place of the change in its body, for the field of an error.

    Raises:
        InvalidChange: the value is no such dict, lacks a field or has an unknown one, or breaks a rule.
    """
    fields = _by_python_name(value, _CHANGE_FIELDS, where or "change", prefix=f"{where}." if where else "")
    settings = fields.get("settings")
    if isinstance(settings, list):
        prefix = f"{where}.settings" if where else "settings"
        fields["settings"] = [_setting(setting, f"{prefix}[{index}]") for index, setting in enumerate(settings)]
    change = SettingsChange(**fields)
    violation = change_violation(change)
    if violation is not None:
        raise InvalidChange(f"{where}.{violation.field}" if where else violation.field, violation.rule, violation.value)
    return change


def _setting(value: object, where: str) -> CopySetting:
    return CopySetting(**_by_python_name(value, _SETTING_FIELDS, where, prefix=f"{where}."))


def _by_python_name(value: object, names: Mapping[str, str], where: str, *, prefix: str) -> dict[str, Any]:
    """Return the fields of an object by their names in Python."""
    if not isinstance(value, dict):
        raise InvalidChange(where, f"must be an object with the fields {', '.join(names)}", value)
    for name in value:
        if name not in names:
            raise InvalidChange(f"{prefix}{printable_name(name)}", _unknown_field(name, names), value[name])
    for name in names:
        if name in _REQUIRED and name not in value:
            raise InvalidChange(f"{prefix}{name}", MISSING, None)
    return {names[name]: given for name, given in value.items()}


def _unknown_field(name: object, names: Mapping[str, str]) -> str:
    closest = difflib.get_close_matches(str(name)[:MAX_VALUE_CHARS], names, n=1)
    hint = f"did you mean {closest[0]}?" if closest else f"there are {', '.join(names)}"
    return f"is not a field; {hint}"


def _decode(body: bytes | str, encoding: Encoding) -> Any:
    decode = _decoders.get(encoding)
    if decode is None:
        raise InvalidArgument("encoding", f"must be {' or '.join(_decoders)}", encoding)
    if not isinstance(body, bytes | str):
        raise InvalidArgument("body", "must be bytes or text", body)
    if encoding == "json" and (body[:1] == "\ufeff" or body[:3] == codecs.BOM_UTF8):
        raise InvalidChange("body", "must be JSON without a byte order mark (BOM); write it as UTF-8 without BOM", body)
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise InvalidChange("body", f"must be {_NAMES[encoding]} ({exc})", body) from exc
