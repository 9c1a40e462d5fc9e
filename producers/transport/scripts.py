"""Lua scripts as package data: loaded once, run by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

Argument = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script. Run by digest; sent in full when the server does not know it (restart, failover, flush)."""

    text: str = field(repr=False)
    sha: str

    @classmethod
    def load(cls, package: str, name: str, *, after: Sequence[tuple[str, str]] = ()) -> Script:
        """Reads `name` from a package's data; `after` are the parts, (package, name), that stand before its text."""
        text = "\n".join(files(home).joinpath(part).read_text("utf-8") for home, part in (*after, (package, name)))
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    async def run(self, redis: Redis, keys: list[str], args: list[Argument]) -> Any:
        """One round trip, two when the server did not know the script."""
        try:
            return await redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)  # type: ignore[no-untyped-call]
        except NoScriptError:
            return await redis.execute_command("EVAL", self.text, len(keys), *keys, *args)  # type: ignore[no-untyped-call]
