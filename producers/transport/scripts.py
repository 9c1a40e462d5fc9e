"""Lua scripts as package data: assembled once from constants, shared parts and their own text, and run by digest.

What Lua and Python both need is written once, in Python: `constants` become `local NAME = ...` lines in front of the
script; an enum becomes a table of its members, a set a table that has `true` for each element, a tuple a list. A part
is a Lua module: it ends with `return`, and the script reads what it returns under the part's file name (`finish.lua` as
`finish`). The names of keys are those of the client's `Keyspace`: `KEY.<name>` is in front of the script if it is used.
A script may have its request in `input`, and a function `pack_reply` (`script_messages`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from producers.contract.keyspace import Keyspace
from producers.transport.script_messages import Message, conversions, records

Argument = str | bytes | int | float
Constant = Argument | type[Enum] | frozenset[str] | tuple[str, ...]

_KEY = re.compile(r"\bKEY\.(\w+)")

_PLAIN = frozenset(range(32, 127)) - frozenset(b'"\\')
"""Bytes that stand for themselves in a Lua string."""


@dataclass(frozen=True)
class Part:
    """A Lua module that several scripts share.

    Attributes:
        package: the package whose data it is.
        name: its file.
        constants: the constants that it reads, by their names in Lua.
        record: a struct that it stores in msgpack, by `read_<struct>` and `list_<struct>`.
    """

    package: str
    name: str
    constants: Mapping[str, Constant] = field(default_factory=dict)
    record: type[Message] | None = None

    def read(self) -> str:
        """Return the text of the file."""
        return files(self.package).joinpath(self.name).read_text("utf-8")


@dataclass(frozen=True, slots=True)
class BoundScript:
    """A script for one keyspace. Run by digest; sent in full when the server does not know it (restart, failover)."""

    text: str = field(repr=False)
    sha: str
    routing_keys: tuple[str, ...]
    """The key that Redis Cluster is told of; none if the script uses no keys.

    Of a script that uses several it is one that never exists. So while the slot is moved key by key, a node refuses the
    script (ASK) before it runs. Told of a key that is still there, it would run the script, stop it at the first key
    that has moved, and keep what was written until then.
    """

    def command(self, args: Sequence[Argument], *, is_known: bool = True) -> tuple[Argument, ...]:
        """Return the command that runs it; `is_known` if the server may know it."""
        called: tuple[Argument, ...] = ("EVALSHA", self.sha) if is_known else ("EVAL", self.text)
        return (*called, len(self.routing_keys), *self.routing_keys, *args)


class Script:
    """One Lua script, for any keyspace."""

    def __init__(self, text: str) -> None:
        """Create a script from its text without the names of keys."""
        self._text = text
        self._used = sorted(set(_KEY.findall(text)))
        self._bound: dict[str, BoundScript] = {}

    @classmethod
    def load(
        cls,
        package: str,
        name: str,
        *,
        parts: Sequence[Part] = (),
        constants: Mapping[str, Constant] | None = None,
        request: type[Message] | None = None,
        reply: type[Message] | None = None,
        runs_when_full: bool = False,
    ) -> Script:
        """Read the script `name` of a package, and put the constants, the parts and its messages in front of it.

        A Redis whose memory is full refuses the first write of a script if it may need memory, and permits all writes
        after one that does not. With `runs_when_full` the script begins with such a write.
        """
        script = Part(package, name, constants or {})
        shared = {lua_name: value for part in (*parts, script) for lua_name, value in part.constants.items()}
        lines = [f"local {lua_name} = {_lua_literal(value)}" for lua_name, value in shared.items()]
        lines += records([part.record for part in parts if part.record])
        lines += [f"local {part.name.removesuffix('.lua')} = (function()\n{part.read()}\nend)()" for part in parts]
        lines += conversions(request, reply)
        if runs_when_full:
            lines.append("redis.call('DEL', KEY.never)")
        return cls("\n".join([*lines, script.read()]))

    def bind(self, keys: Keyspace) -> BoundScript:
        """Return the script with the names of a keyspace: `KEY.<name>` is what `Keyspace` has under that name."""
        if keys.tag not in self._bound:
            names = "".join(f"  {name} = {_lua_literal(getattr(keys, name))},\n" for name in self._used)
            text = f"local KEY = {{\n{names}}}\n{self._text}" if names else self._text
            sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            routing = self._used if len(self._used) <= 1 else ["never"]
            self._bound[keys.tag] = BoundScript(text, sha, tuple(getattr(keys, name) for name in routing))
        return self._bound[keys.tag]

    async def run(self, redis: Redis, keys: Keyspace, args: Sequence[Argument]) -> Any:
        """Run the script: one round trip, two if the server did not know it."""
        script = self.bind(keys)
        try:
            return await redis.execute_command(*script.command(args))  # type: ignore[no-untyped-call]
        except NoScriptError:
            return await redis.execute_command(*script.command(args, is_known=False))  # type: ignore[no-untyped-call]


def _lua_literal(value: Constant) -> str:
    """Return a constant as Lua source."""
    if isinstance(value, type):
        return "{\n" + "".join(f"  {member.name} = {_lua_literal(member.value)},\n" for member in value) + "}"
    if isinstance(value, frozenset):
        return "{" + ", ".join(f"[{_lua_literal(item)}] = true" for item in sorted(value)) + "}"
    if isinstance(value, tuple):
        return "{" + ", ".join(map(_lua_literal, value)) + "}"
    if isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03}" for byte in raw) + '"'
    return repr(value)
