"""Files that are not text in UTF-8: spreadsheets, archives, other encodings. Each is named, with what to do."""

from __future__ import annotations

import codecs

from producers.cli.input.row_errors import BadInput

START_BYTES = 512
"""How much of a file tells its kind."""

AS_ROWS = "save it as UTF-8 (in a spreadsheet, as CSV UTF-8)"
AS_JSON = "save it as JSON in UTF-8"

_COMPRESSED = "the file is compressed; give its content"
_DECOMPRESS = ": {} -dc FILE | copytrade ... -"
_UTF_16 = "the file is in UTF-16, or is not text; {save}"
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "the file is a spreadsheet (.xlsx, .ods) or another zip archive, and not text; {save}", ""),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "the file is a spreadsheet (.xls), and not text; {save}", ""),
    (b"\x1f\x8b", _COMPRESSED, "gzip"),
    (b"BZh", _COMPRESSED, "bzip2"),
    (b"\xfd7zXZ\x00", _COMPRESSED, "xz"),
    (b"\x28\xb5\x2f\xfd", _COMPRESSED, "zstd"),
    (b"%PDF", "the file is a PDF, and not text; {save}", ""),
    (codecs.BOM_UTF16_LE, _UTF_16, ""),
    (codecs.BOM_UTF16_BE, _UTF_16, ""),
    (codecs.BOM_UTF32_BE, _UTF_16, ""),
)
"""First bytes of files, as in the list of `file(1)`; what is wrong with such a file; what decompresses it."""


def bom_length(start: bytes, save: str = AS_ROWS) -> int:
    """Return how many bytes the byte order mark of a text in UTF-8 takes: 3 or 0.

    Args:
        start: the first `START_BYTES` of the file.
        save: how to save the file if it is of another kind.

    Raises:
        BadInput: the file is no text in UTF-8.
    """
    for first_bytes, problem, program in _KINDS:
        if start.startswith(first_bytes):
            raise BadInput(problem.format(save=save), _DECOMPRESS.format(program) if program else "")
    if b"\0" in start[:2]:  # UTF-16 without a mark: the text begins with an ASCII character
        raise BadInput(_UTF_16.format(save=save))
    if start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<"):
        raise BadInput(f"the file is HTML or XML, as some programs write it under the name .xls; {save}")
    return len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0
