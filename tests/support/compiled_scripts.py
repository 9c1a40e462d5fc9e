"""Compile each script of fakeredis once: it compiles a script at each call, and collects Lua's garbage after each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

COLLECT = "collectgarbage()"
"""What fakeredis executes after every script (`ScriptingCommandsMixin.eval`, 2.40)."""

CALLS_BETWEEN_COLLECTIONS = 500
"""A full collection takes longer than most of our scripts."""


class CompilingRuntime:
    """A LuaRuntime that keeps the scripts it has compiled, and seldom collects garbage."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._compiled: dict[bytes | str, Callable[[], Any]] = {}
        self._calls = 0

    def execute(self, script: bytes | str) -> Any:
        """Run a script as `LuaRuntime.execute` does."""
        if script == COLLECT:
            self._calls += 1
            return self._runtime.execute(script) if self._calls % CALLS_BETWEEN_COLLECTIONS == 0 else None
        if script not in self._compiled:
            self._compiled[script] = self._runtime.compile(script)
        return self._compiled[script]()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the runtime's own."""
        return getattr(self._runtime, name)
