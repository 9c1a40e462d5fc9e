"""Numbered and decoded lines of a binary file. A line that is too long or not UTF-8 becomes a `RowError`."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from producers.cli.input.row_errors import BadInput, RowError
from producers.errors import abbreviated

MAX_LINE_BYTES = 65_536
"""A change with ten settings takes 3,000 bytes. The limit keeps a file without line ends from filling the memory."""

_UTF_16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, str | RowError]]:
    """Yield each line that is not blank, without its line end, with its number, which starts at 1.

    Raises:
        BadInput: the file is encoded in UTF-16.
    """
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES):
        number += 1
        if number == 1:
            raw = _strip_bom(raw)
        if len(raw) >= MAX_LINE_BYTES and not raw.endswith(b"\n"):
            _skip_line(stream)
            yield (
                number,
                RowError(number, "line", f"must be shorter than {MAX_LINE_BYTES} bytes", abbreviated(raw[:40])),
            )
            continue
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            invalid = raw[exc.start : exc.start + 1]
            yield number, RowError(number, "line", f"must be UTF-8: byte {exc.start + 1} is not", abbreviated(invalid))
            continue
        text = text.strip(" \r\n")
        if text:
            yield number, text


def _strip_bom(first_line: bytes) -> bytes:
    if first_line.startswith(_UTF_16_BOMS):
        raise BadInput("the file is in UTF-16; save it as UTF-8 (in a spreadsheet: CSV UTF-8)")
    return first_line.removeprefix(codecs.BOM_UTF8)


def _skip_line(stream: BinaryIO) -> None:
    while (chunk := stream.readline(MAX_LINE_BYTES)) and not chunk.endswith(b"\n"):
        pass
