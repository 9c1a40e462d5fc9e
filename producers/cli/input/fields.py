"""Names of fields as people write them: `user_id`, `userId`, `User ID` are all one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from producers.contract.messages import CopySetting, SettingsChange

SETTING_FIELDS: tuple[str, ...] = CopySetting.__struct_fields__
CHANGE_FIELDS: tuple[str, ...] = tuple(name for name in SettingsChange.__struct_fields__ if name != "settings")
ROW_FIELDS: tuple[str, ...] = (*CHANGE_FIELDS, *SETTING_FIELDS)
"""What a row may say of itself: the fields of a change and, flat beside them, those of its one setting."""

WIRE_NAMES: Mapping[str, str] = {
    python: wire
    for struct in (SettingsChange, CopySetting)
    for python, wire in zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
}

_between_words = re.compile(r"[\s_-]+")


def squeezed(name: str) -> str:
    """A name without case and without what stands between its words."""
    return _between_words.sub("", name).casefold()


_BY_SQUEEZED = {squeezed(name): name for name in (*ROW_FIELDS, "settings")}


def field_named(name: str) -> str | None:
    """The field that a person means by a name; None if there is none."""
    return _BY_SQUEEZED.get(squeezed(name))


def unknown_field(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is no field: the nearest one, or all there are."""
    names = {squeezed(field): WIRE_NAMES[field] for field in known}
    near = difflib.get_close_matches(squeezed(name), names, n=1)
    return (
        f"is no field; did you mean {names[near[0]]}?"
        if near
        else f"is no field; there are {', '.join(names.values())}"
    )
