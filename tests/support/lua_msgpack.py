"""A stand-in for `cmsgpack`, which scripts of a real server have and those of fakeredis have not."""

from __future__ import annotations

from typing import Any

import lupa.lua51 as lua
import msgspec
from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin

from tests.support.compiled_scripts import CompilingRuntime

_original = ScriptingCommandsMixin._get_server_runtime


def install() -> None:
    """Give the scripts of all fakeredis servers a `cmsgpack`, and compile each script once."""
    ScriptingCommandsMixin._get_server_runtime = _runtime_with_msgpack  # type: ignore[method-assign]


def _runtime_with_msgpack(self: ScriptingCommandsMixin, server: Any) -> Any:
    is_new = not hasattr(server, "_lua_runtime")
    runtime = _original(self, server)
    if is_new:
        module = {b"pack": _pack, b"unpack": lambda packed: _to_lua(runtime, msgspec.msgpack.decode(packed))}
        runtime.globals()[b"cmsgpack"] = runtime.table_from(module)
        server._lua_expected_globals.add(b"cmsgpack")
        server._lua_runtime = runtime = CompilingRuntime(runtime)
    return runtime


def _pack(value: Any) -> bytes:
    """Return a value as `cmsgpack.pack` does: a whole number as an integer, bytes as text, a table as a list."""
    if lua.lua_type(value) == "table":
        items = [value[index] for index in range(1, len(value) + 1)]
        return _header(len(items), 0x90, 16, 0xDC) + b"".join(map(_pack, items))
    if isinstance(value, float) and value.is_integer():
        return msgspec.msgpack.encode(int(value))
    if isinstance(value, bytes):
        return _header(len(value), 0xA0, 32, 0xDA) + value
    if value is None:
        raise TypeError("a list with a nil: it ends there on a real server")
    return msgspec.msgpack.encode(value)


def _header(length: int, short: int, short_limit: int, long: int) -> bytes:
    if length < short_limit:
        return bytes([short | length])
    if length < 1 << 16:
        return bytes([long]) + length.to_bytes(2, "big")
    return bytes([long + 1]) + length.to_bytes(4, "big")


def _to_lua(runtime: Any, value: Any) -> Any:
    if isinstance(value, list):
        return runtime.table_from([_to_lua(runtime, item) for item in value])
    return value.encode() if isinstance(value, str) else value
