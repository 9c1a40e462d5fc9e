"""Files that are not text in UTF-8: spreadsheets, archives, other encodings. Each is named, with what to do."""

from __future__ import annotations

import codecs

from producers.cli.input.row_errors import BadInput

START_BYTES = 512
"""How much of a file tells its kind."""

_AS_CSV = "in the spreadsheet, save it as CSV UTF-8"
_UTF_16 = f"the file is in UTF-16, or is not text; save it as UTF-8 ({_AS_CSV})"
_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", f"the file is a spreadsheet (.xlsx, .ods) or another zip archive, and not text; {_AS_CSV}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"the file is a spreadsheet (.xls), and not text; {_AS_CSV}"),
    (b"\x1f\x8b", "the file is compressed; give its content: gzip -dc FILE | copytrade ... -"),
    (b"BZh", "the file is compressed; give its content: bzip2 -dc FILE | copytrade ... -"),
    (b"\xfd7zXZ\x00", "the file is compressed; give its content: xz -dc FILE | copytrade ... -"),
    (b"\x28\xb5\x2f\xfd", "the file is compressed; give its content: zstd -dc FILE | copytrade ... -"),
    (b"%PDF", "the file is a PDF; export the data as CSV UTF-8"),
    (codecs.BOM_UTF16_LE, _UTF_16),
    (codecs.BOM_UTF16_BE, _UTF_16),
    (codecs.BOM_UTF32_BE, _UTF_16),
)
"""First bytes of files, as in the list of `file(1)`, and what is wrong with such a file."""


def bom_length(start: bytes) -> int:
    """Return how many bytes the byte order mark of a text in UTF-8 takes: 3 or 0.

    Args:
        start: the first `START_BYTES` of the file.

    Raises:
        BadInput: the file is no text in UTF-8.
    """
    for first_bytes, problem in _KINDS:
        if start.startswith(first_bytes):
            raise BadInput(problem)
    if b"\0" in start[:2]:  # UTF-16 without a mark: the text begins with an ASCII character
        raise BadInput(_UTF_16)
    if start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<"):
        raise BadInput(f"the file is HTML or XML, as some programs write it under the name .xls; {_AS_CSV}")
    return len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0
