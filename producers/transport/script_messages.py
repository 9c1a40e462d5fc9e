"""What scripts are given and what they reply, as structs that Python and Lua share. No I/O.

A request travels as one argument in msgpack, a reply as one element in msgpack. Their fields have positions on the way
and names on both sides: the positions come from the struct, and the Lua that converts is generated from it. Only text,
integers, lists and structs of these travel so. Bytes that are no text (payloads, results) are further arguments, and
further elements of the reply; a message names them by their number, from 1, with 0 for none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec


class Message(msgspec.Struct, array_like=True):
    """A request, a reply, or a part of one. No field may be None: a Lua list ends at the first nil."""


M = TypeVar("M", bound=Message)

_encoder = msgspec.msgpack.Encoder()

MAP = """local function map(list, convert)
  local converted = {}
  for i = 1, #list do converted[i] = convert(list[i]) end
  return converted
end"""


def encode(request: Message) -> bytes:
    """Return a request as the first argument of its script."""
    return _encoder.encode(request)


def decode(kind: type[M], reply: bytes) -> M:
    """Return the message in the first element of a script's reply."""
    return msgspec.msgpack.decode(reply, type=kind)


def records(kinds: Sequence[type[Message]]) -> list[str]:
    """Return the Lua that converts structs which scripts store: `read_<struct>` from a list, `list_<struct>` to one."""
    return [convert(kind) for kind in kinds for convert in (_reader, _writer)]


def conversions(request: type[Message] | None, reply: type[Message] | None) -> list[str]:
    """Return the Lua that has the request in `input`, and packs a reply by `pack_reply`."""
    lines: list[str] = [MAP] if any(len(_parts(kind)) > 1 for kind in (request, reply) if kind) else []
    if request:
        lines += [_reader(kind) for kind in _parts(request)]
        lines.append(f"local input = read_{request.__name__}(cmsgpack.unpack(ARGV[1]))")
    if reply:
        lines += [_writer(kind) for kind in _parts(reply)]
        lines.append(f"local function pack_reply(reply) return cmsgpack.pack(list_{reply.__name__}(reply)) end")
    return lines


def _parts(kind: type[Message]) -> list[type[Message]]:
    """Return a struct after the structs that are in it."""
    nested = (part for field in _fields(kind).values() if field for part in _parts(field))
    return list(dict.fromkeys([*nested, kind]))


def _fields(kind: type[Message]) -> dict[str, type[Message] | None]:
    """Return the fields of a struct in order, each with the struct of its list's elements."""
    hints = get_type_hints(kind)
    return {name: _element(hints[name]) for name in kind.__struct_fields__}


def _element(hint: Any) -> type[Message] | None:
    return next((part for part in get_args(hint) if isinstance(part, type) and issubclass(part, Message)), None)


def _reader(kind: type[Message]) -> str:
    fields = (
        f"{name} = " + (f"map(list[{i}], read_{element.__name__})" if element else f"list[{i}]")
        for i, (name, element) in enumerate(_fields(kind).items(), start=1)
    )
    return _function(f"read_{kind.__name__}(list)", fields)


def _writer(kind: type[Message]) -> str:
    fields = (
        f"map(message.{name}, list_{element.__name__})" if element else f"message.{name}"
        for name, element in _fields(kind).items()
    )
    return _function(f"list_{kind.__name__}(message)", fields)


def _function(head: str, fields: Iterable[str]) -> str:
    return f"local function {head} return {{{', '.join(fields)}}} end"
