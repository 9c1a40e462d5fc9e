"""Replies with long heads, or with bodies that were encoded unasked."""

from __future__ import annotations

import gzip
import zlib

import pytest

from tests.support.http_peer import OK, post, writes
from worker.errors import TransportError


def with_headers(count: int, length: int) -> bytes:
    """Return a reply with some further headers whose name and value have `length` bytes together."""
    return OK.replace(b"\r\n\r\n", b"\r\nX-More: %b" % (b"x" * (length - len("X-More"))) * count + b"\r\n\r\n", 1)


@pytest.mark.parametrize("head", [with_headers(1, 65_536), with_headers(999, 10)], ids=["long", "many"])
async def test_a_reply_with_long_or_many_headers_is_read(head: bytes) -> None:
    """Up to 64 KB each, and up to 1,000: such a reply is of a request that was applied."""
    assert (await post(writes(head))).body == b"{}"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        pytest.param(with_headers(1, 70_000), "a header line has more than 65536 bytes", id="longer"),
        pytest.param(with_headers(1_000, 10), "it has more than 1000 headers", id="more"),
        pytest.param(b"HTTP/1.1 200 " + b"x" * 65_537 + OK[15:], "a header line has more than", id="long status line"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", "it is not HTTP", id="not HTTP"),
    ],
)
async def test_a_reply_beyond_the_bounds_is_ambiguous_with_a_reason(head: bytes, reason: str) -> None:
    """The exchange may have applied its request."""
    with pytest.raises(TransportError, match=f"no readable reply: {reason}") as caught:
        await post(writes(head))

    assert caught.value.sent


def encoded(body: bytes, *encodings: str) -> bytes:
    """Return a reply with Content-Encoding headers."""
    head = "".join(f"Content-Encoding: {encoding}\r\n" for encoding in encodings)
    return f"HTTP/1.1 200 OK\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


RAW_DEFLATE = zlib.compressobj(wbits=-15)
COMPRESSED = {
    "gzip": gzip.compress(b"{}"),
    "X-GZIP": gzip.compress(b"{}"),
    "deflate": zlib.compress(b"{}"),
    "Deflate": RAW_DEFLATE.compress(b"{}") + RAW_DEFLATE.flush(),
    "identity": b"{}",
    "gzip, x-gzip": gzip.compress(gzip.compress(b"{}")),
    "gzip, identity": gzip.compress(b"{}"),
}


@pytest.mark.parametrize("encoding", COMPRESSED)
async def test_a_body_that_was_compressed_unasked_is_decoded(encoding: str) -> None:
    """A proxy on the way may ignore that no encoding was asked for."""
    assert (await post(writes(encoded(COMPRESSED[encoding], encoding)))).body == b"{}"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(encoded(b"{}", "compress"), "its Content-Encoding, which was not asked for", id="unknown"),
        pytest.param(encoded(b"{}", "br, gzip"), "it cannot be decompressed", id="two, no gzip"),
        pytest.param(encoded(gzip.compress(b"{}"), "br, gzip"), "its Content-Encoding", id="two, one of them unknown"),
        pytest.param(encoded(b"{}", "x-gzip"), "it cannot be decompressed", id="x-gzip that is none"),
        pytest.param(encoded(gzip.compress(b" " * 10**7), "gzip"), "it has more than 20000 bytes", id="bomb"),
        pytest.param(encoded(gzip.compress(b" " * 10**7), "x-gzip"), "it has more than 20000 bytes", id="x-gzip bomb"),
    ],
)
async def test_a_body_that_cannot_be_decoded_is_ambiguous_with_a_reason(reply: bytes, reason: str) -> None:
    """Its request may have been applied. What a small body decompresses to is bounded."""
    with pytest.raises(TransportError, match=f"no readable reply: {reason}") as caught:
        await post(writes(reply), reply_limit_bytes=20_000)

    assert caught.value.sent


@pytest.mark.parametrize(("encoding", "library"), [("br", "HAS_BROTLI"), ("zstd", "HAS_ZSTD")])
async def test_without_its_library_an_encoding_is_ambiguous_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, encoding: str, library: str
) -> None:
    """Brotli and Zstandard are decoded where their libraries are installed."""
    monkeypatch.setattr(f"aiohttp.http_parser.{library}", False)

    with pytest.raises(TransportError, match="no readable reply: its Content-Encoding, which was not") as caught:
        await post(writes(encoded(b"{}", encoding)))

    assert caught.value.sent


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"application/json; charset=GBK", "GBK"),
        (b'application/json;charset="utf-8"', "utf-8"),
        (b"application/json; Charset=ISO-8859-1; x=y", "ISO-8859-1"),
        (b"application/json", None),
        (b"application/json; charset=", None),
        (b"application/json; charset=punycode", None),
        pytest.param(b"a/b; " + b'"' * 60_000, None, id="quotes"),
        pytest.param(b"a/b; " + b" ((" * 20_000, None, id="brackets"),
        pytest.param(b"\xff\x01; charset=\xff", None, id="bytes"),
    ],
)
async def test_the_charset_of_a_reply_is_kept(content_type: bytes, expected: str | None) -> None:
    """The classifier decodes the body with it. No header of 64 KB keeps the event loop busy."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: 2\r\n\r\n{}" % content_type

    assert (await post(writes(head))).charset == expected
