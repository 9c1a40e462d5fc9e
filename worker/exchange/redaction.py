"""Taking a user's own secrets out of what the exchange says. No I/O.

A reply may quote the request: a gateway that reports the headers it did not like, a message that names the key. What is
kept of a reply is in results and log lines, so it goes through here first.
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

SHORTEST = 8
"""Shorter texts are not looked for: the exchange's keys and passphrases are no shorter, and a short word would be
hidden in messages that do not quote it."""

SHORTEST_CUT = 4
"""So much of a secret at the end of a text, where it may have been cut, is hidden too."""


def without_secrets(reply: Reply, credentials: Credentials, signed: SignedHeaders) -> Reply:
    """A reply whose code and message quote nothing of the keys and the signature that its request was made with.

    Args:
        reply: what came.
        credentials: of the user whose request it answers.
        signed: the headers of that request.
    """
    secrets = (
        credentials.secret_key.reveal(),
        signed[SIGNATURE],
        credentials.api_key.reveal(),
        credentials.passphrase.reveal(),
    )
    code = None if reply.code is None else _scrubbed(reply.code, secrets)
    message = _scrubbed(reply.message, secrets)
    if code == reply.code and message == reply.message:
        return reply
    return replace(reply, code=code, message=message)


def _scrubbed(text: str, secrets: Iterable[str]) -> str:
    """A text with secrets hidden, also at its end where a secret may be cut."""
    if len(text) < SHORTEST:
        return text
    # The longest first: one secret may be a part of another.
    spellings = sorted({form for secret in secrets for form in _spellings(secret)}, key=len, reverse=True)
    for spelling in spellings:
        text = text.replace(spelling, HIDDEN)
    for spelling in spellings:
        for length in range(min(len(spelling) - 1, len(text)), SHORTEST_CUT - 1, -1):
            if text.endswith(spelling[:length]):
                text = text[:-length] + HIDDEN
                break
    return text


def _spellings(secret: str) -> set[str]:
    """A secret as it is, and as it looks in JSON, in a list of Python's, in a URL and in HTML."""
    if len(secret) < SHORTEST:
        return set()
    in_json = json.dumps(secret)[1:-1]
    in_url = {quote(secret), quote(secret, safe="")}
    return {secret, in_json, in_json.replace("/", "\\/"), repr(secret)[1:-1], html.escape(secret), *in_url}
