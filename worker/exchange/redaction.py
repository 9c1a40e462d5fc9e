"""Redaction of a user's secrets in the exchange's replies. No I/O.

A reply can quote its request, such as the headers that a gateway rejected, or the API key in a message. Its code and
message are stored in results and logged, so both are redacted first.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from urllib.parse import quote

from msgspec.structs import replace

from worker.credentials.model import Credentials
from worker.exchange.replies import Reply
from worker.exchange.signing import SIGNATURE, SignedHeaders
from worker.secret import HIDDEN

MIN_SECRET_CHARS = 8
"""Shorter secrets are not redacted: the exchange's keys and passphrases are longer, and a short word also occurs in
messages that do not quote it."""

MIN_PREFIX_CHARS = 4
"""At the end of a text, which may cut off a secret, a prefix of a secret from this length on is redacted too."""


def redact(reply: Reply, credentials: Credentials, signed: SignedHeaders) -> Reply:
    """Return a reply in whose code and message the secrets of its request are hidden.

    Args:
        reply: the reply.
        credentials: the credentials with which its request was signed.
        signed: the headers of that request.
    """
    secrets = (
        credentials.secret_key.reveal(),
        signed[SIGNATURE],
        credentials.api_key.reveal(),
        credentials.passphrase.reveal(),
    )
    code = None if reply.code is None else _redact_text(reply.code, secrets)
    message = _redact_text(reply.message, secrets)
    if code == reply.code and message == reply.message:
        return reply
    return replace(reply, code=code, message=message)


def _redact_text(text: str, secrets: Iterable[str]) -> str:
    """Return a text with its secrets hidden, including one that the end of the text cuts off."""
    if len(text) < MIN_SECRET_CHARS:
        return text
    # The longest first: one secret may be part of another.
    spellings = sorted({form for secret in secrets for form in _spellings(secret)}, key=len, reverse=True)
    for spelling in spellings:
        text = text.replace(spelling, HIDDEN)
    for spelling in spellings:
        for length in range(min(len(spelling) - 1, len(text)), MIN_PREFIX_CHARS - 1, -1):
            if text.endswith(spelling[:length]):
                text = text[:-length] + HIDDEN
                break
    return text


def _spellings(secret: str) -> set[str]:
    """Return the spellings of a secret: plain, and as escaped in JSON, a Python repr, a URL and HTML."""
    if len(secret) < MIN_SECRET_CHARS:
        return set()
    in_json = json.dumps(secret)[1:-1]
    in_url = {quote(secret), quote(secret, safe="")}
    return {secret, in_json, in_json.replace("/", "\\/"), repr(secret)[1:-1], html.escape(secret), *in_url}
