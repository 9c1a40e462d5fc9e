"""Field names as people write them: `user_id`, `userId` and `User ID` are the same field."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from producers.contract.messages import CopySetting, SettingsChange
from producers.errors import MAX_VALUE_CHARS

SETTING_FIELDS: tuple[str, ...] = CopySetting.__struct_fields__
CHANGE_FIELDS: tuple[str, ...] = tuple(name for name in SettingsChange.__struct_fields__ if name != "settings")
ROW_FIELDS: tuple[str, ...] = (*CHANGE_FIELDS, *SETTING_FIELDS)
"""Fields that a row may have: those of a change, and those of its only setting beside them."""

WIRE_NAMES: Mapping[str, str] = {
    python: wire
    for struct in (SettingsChange, CopySetting)
    for python, wire in zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
}

_word_separators = re.compile(r"[\s_-]+")


def normalize(name: str) -> str:
    """Return a name in lower case, without spaces, hyphens and underscores."""
    return _word_separators.sub("", name).casefold()


_BY_NORMALIZED_NAME = {normalize(name): name for name in (*ROW_FIELDS, "settings")}


def find_field(name: str) -> str | None:
    """Return the Python name of the field that `name` spells, or None."""
    return _BY_NORMALIZED_NAME.get(normalize(name))


def unknown_field(name: str, known: Iterable[str]) -> str:
    """Return the rule that an unknown field name breaks, with the closest field name or a list of all."""
    names = {normalize(field): WIRE_NAMES[field] for field in known}
    closest = difflib.get_close_matches(normalize(name)[:MAX_VALUE_CHARS], names, n=1)
    hint = f"did you mean {names[closest[0]]}?" if closest else f"the fields are {', '.join(names.values())}"
    return f"is not a field; {hint}"
