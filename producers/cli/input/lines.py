"""Numbered and decoded lines of a binary file. A line that is too long or not UTF-8 text becomes a `RowError`.

A blank line is empty. It is not left out, so that a reader can stop at any line of a file that has nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from producers.cli.input.file_kinds import START_BYTES, bom_length
from producers.cli.input.row_errors import RowError
from producers.cli.json_output import abbreviated_json

MAX_LINE_BYTES = 65_536
"""A change with ten settings takes 3,000 bytes. The limit keeps a file without line ends from filling the memory."""

_LONG_RULE = f"must be shorter than {MAX_LINE_BYTES} bytes"
_line_end = re.compile(rb"\r\n|\n|\r")


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, str | RowError]]:
    """Yield each line, without its line end, with its number, which starts at 1.

    Args:
        stream: the file, at its start, seekable. A line ends with LF, CR LF or CR.

    Raises:
        BadInput: the file is not a text in UTF-8 at all.
    """
    stream.seek(bom_length(stream.read(START_BYTES)))
    for number, raw in enumerate(_raw_lines(stream), 1):
        if len(raw) >= MAX_LINE_BYTES:
            yield number, RowError(number, "line", _LONG_RULE, abbreviated_json(raw[:40].decode(errors="replace")))
            continue
        try:
            text = raw.decode("utf-8").strip(" ")
        except UnicodeDecodeError as exc:
            rule = f"must be UTF-8: byte {exc.start + 1} is not"
            yield number, RowError(number, "line", rule, f"0x{raw[exc.start]:02x}")
            continue
        if "\0" in text:
            yield number, RowError(number, "line", "must not contain NUL bytes", abbreviated_json(text))
        else:
            yield number, text


def _raw_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file without their ends; those that are too long are cut at `MAX_LINE_BYTES`."""
    line = held = b""
    while chunk := stream.read(MAX_LINE_BYTES):
        chunk = held + chunk
        held = b"\r" if chunk.endswith(b"\r") else b""  # a CR LF must not be cut
        first, *others = _line_end.split(chunk.removesuffix(b"\r"))
        line += first
        for other in others:
            yield line[:MAX_LINE_BYTES]
            line = other
        line = line[:MAX_LINE_BYTES]
    if line or held:
        yield line
