"""Text from outside, as JSON can carry it."""

from __future__ import annotations

import msgspec


class EscapedText(msgspec.Struct, frozen=True):
    """A message whose texts are escaped where JSON cannot carry them: a lone surrogate, which Python's JSON reads."""

    def __post_init__(self) -> None:
        """Escape the texts."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, str):
                msgspec.structs.force_setattr(self, name, value.encode(errors="backslashreplace").decode())
