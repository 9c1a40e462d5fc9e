"""Lua scripts as package data: assembled once from constants, shared parts and their own text, and run by digest.

What Lua and Python both need is written once, in Python: `constants` become `local NAME = ...` lines in front of the
script; an enum becomes a table of its members, a set a table that has `true` for each element. A part is a Lua module:
it ends with `return`, and the script reads what it returns under the part's file name (`finish.lua` as `finish`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from producers.contract.keyspace import NEVER

Argument = str | bytes | int | float
Constant = Argument | type[Enum] | frozenset[str]

_PLAIN = frozenset(range(32, 127)) - frozenset(b'"\\')
"""Bytes that stand for themselves in a Lua string."""


@dataclass(frozen=True)
class Part:
    """A Lua module that several scripts share.

    Attributes:
        package: the package whose data it is.
        name: its file.
        constants: the constants that it reads, by their names in Lua.
    """

    package: str
    name: str
    constants: Mapping[str, Constant] = field(default_factory=dict)

    def read(self) -> str:
        """Return the text of the file."""
        return files(self.package).joinpath(self.name).read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script. Run by digest; sent in full when the server does not know it (restart, failover, flush)."""

    text: str = field(repr=False)
    sha: str

    @classmethod
    def load(
        cls,
        package: str,
        name: str,
        *,
        parts: Sequence[Part] = (),
        constants: Mapping[str, Constant] | None = None,
        runs_when_full: bool = False,
    ) -> Script:
        """Read the script `name` of a package, and put the constants and the parts in front of it.

        A Redis whose memory is full refuses the first write of a script if it may need memory, and permits all writes
        after one that does not. With `runs_when_full` the script begins with such a write.
        """
        script = Part(package, name, constants or {})
        shared = {lua_name: value for part in (*parts, script) for lua_name, value in part.constants.items()}
        lines = [f"local {lua_name} = {_lua_literal(value)}" for lua_name, value in shared.items()]
        lines += [f"local {part.name.removesuffix('.lua')} = (function()\n{part.read()}\nend)()" for part in parts]
        if runs_when_full:
            lines.append(f"redis.call('DEL', {_lua_literal(NEVER)})")
        text = "\n".join([*lines, script.read()])
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    async def run(self, redis: Redis, keys: list[str], args: list[Argument]) -> Any:
        """Run the script: one round trip, two if the server did not know it."""
        try:
            return await redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)  # type: ignore[no-untyped-call]
        except NoScriptError:
            return await redis.execute_command("EVAL", self.text, len(keys), *keys, *args)  # type: ignore[no-untyped-call]


def _lua_literal(value: Constant) -> str:
    """Return a constant as Lua source."""
    if isinstance(value, type):
        return "{\n" + "".join(f"  {member.name} = {_lua_literal(member.value)},\n" for member in value) + "}"
    if isinstance(value, frozenset):
        return "{" + ", ".join(f"[{_lua_literal(item)}] = true" for item in sorted(value)) + "}"
    if isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03}" for byte in raw) + '"'
    return repr(value)
