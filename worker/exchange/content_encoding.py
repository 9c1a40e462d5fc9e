"""Content encodings and charsets of replies. No I/O.

Requests ask for none ("Accept-Encoding: identity"), but a proxy on the way may compress all the same. aiohttp decodes
gzip and deflate, and br and zstd where their libraries are installed. What it leaves is decoded here, or is an error.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

DECODED_BY_AIOHTTP = frozenset({"gzip", "deflate", "br", "zstd"})

CONTENT_TYPE_CHARS = 200
"""A longer Content-Type is not read to its end. aiohttp's own parser takes minutes for some of 64 KB."""

_charset = re.compile(r'charset="?((?:utf|iso|latin|windows|cp|gb|big5|shift|euc|koi8)[\w-]{0,20})', re.IGNORECASE)
_GZIP = 16 + zlib.MAX_WBITS


class UndecodableBody(ValueError):
    """A body that cannot be decoded; the message is the reason."""


def decode(body: bytes, headers: Sequence[str], max_bytes: int) -> bytes:
    """Return a body without the encodings that aiohttp has left.

    Args:
        body: the body from aiohttp.
        headers: the values of its Content-Encoding headers.
        max_bytes: the limit of what is decoded.

    Raises:
        UndecodableBody: an encoding is not known, the body is not in it, or it decodes to more than `max_bytes`.
    """
    if not headers or (len(headers) == 1 and headers[0].lower() in DECODED_BY_AIOHTTP):
        return body
    names = [name.strip().lower() for header in headers for name in header.split(",")]
    for name in reversed(names):  # the last applied one first
        match name:
            case "gzip" | "x-gzip":
                body = _gunzip(body, max_bytes)
            case "identity" | "":
                pass
            case _:
                raise UndecodableBody("its Content-Encoding, which was not asked for, cannot be decoded")
    return body


def charset_of(content_type: str) -> str | None:
    """Return the charset that a Content-Type states; None without one, or if it is of no usual family."""
    found = _charset.search(content_type[:CONTENT_TYPE_CHARS])
    return found and found[1]


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    try:
        decoded = zlib.decompressobj(_GZIP).decompress(body, max_bytes + 1)
    except zlib.error as exc:
        raise UndecodableBody("it cannot be decompressed") from exc
    if len(decoded) > max_bytes:
        raise UndecodableBody(f"it has more than {max_bytes} bytes")
    return decoded
