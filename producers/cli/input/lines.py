"""Lines of a binary file: numbered, decoded, bounded. What cannot be a line is a fault and does not stop the rest."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from producers.cli.input.row_errors import BadInput, Fault
from producers.errors import abbreviated

LONGEST_LINE = 65_536
"""Bytes. A change of ten settings is 3,000; without a bound, a file without line ends would be held whole."""

_OTHER_ENCODINGS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def numbered_lines(stream: BinaryIO) -> Iterator[tuple[int, str | Fault]]:
    """Each line that is not blank, without its end, with its number from 1.

    Raises:
        BadInput: the file is in an encoding whose lines cannot be told apart.
    """
    number = 0
    while raw := stream.readline(LONGEST_LINE):
        number += 1
        if number == 1:
            raw = _without_mark(raw)
        if len(raw) >= LONGEST_LINE and not raw.endswith(b"\n"):
            _skip_line(stream)
            yield number, Fault(number, "line", f"must be shorter than {LONGEST_LINE} bytes", abbreviated(raw[:40]))
            continue
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            bad = raw[exc.start : exc.start + 1]
            rule = f"must be UTF-8: byte {exc.start + 1} is not"
            yield number, Fault(number, "line", rule, abbreviated(bad))
            continue
        text = text.strip(" \r\n")
        if text:
            yield number, text


def _without_mark(first: bytes) -> bytes:
    if first.startswith(_OTHER_ENCODINGS):
        raise BadInput("the file is in UTF-16; save it as UTF-8 (in a spreadsheet: CSV UTF-8)")
    return first.removeprefix(codecs.BOM_UTF8)


def _skip_line(stream: BinaryIO) -> None:
    while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
        pass
