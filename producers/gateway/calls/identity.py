"""The IDs that calls give to changes and batches: `<key ID>.<Idempotency-Key>`, or `<key ID>.<new ID>`."""

from __future__ import annotations

import re

from producers.contract.ids import SortableIds
from producers.errors import InvalidArgument
from producers.gateway.calls.service import AnyRequest, key_of

_ids = SortableIds()

MAX_KEY_CHARS = 119
"""What an ID of 128 characters has room for, after a key ID of 8 and a dot."""

MAX_BULK_KEY_CHARS = 111
"""Of a call with many changes: each job ID ends with a comma and the place of its change, of up to seven digits."""

MAX_BATCH_KEY_CHARS = 55
"""Of a batch, whose ID has at most 64 characters."""


def key_pattern(max_chars: int) -> str:
    """Return the pattern of an Idempotency-Key, in quotes or not: what it names is at a path, and marks are no part.

    A comma is one: the IDs of bulk calls have it, so that no other key can lead to one of these.
    """
    name = rf"(?!\.)(?:(?!\.\.|~~)[!#-+.0-~-]){{1,{max_chars}}}(?<!\.)"
    return f'^(?:"{name}"|{name})$'


def new_id(request: AnyRequest, max_chars: int = MAX_KEY_CHARS) -> str:
    """Return the ID that a call gives.

    Args:
        request: the call.
        max_chars: how long its Idempotency-Key may be.

    Raises:
        InvalidArgument: its Idempotency-Key cannot be a part of an ID.
    """
    return f"{key_of(request).key_id}.{_idempotency_key(request, max_chars) or _ids.next()}"


def _idempotency_key(request: AnyRequest, max_chars: int) -> str | None:
    """Return the Idempotency-Key of a call, which may be in quotes; None without one."""
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    name = header.strip()
    if re.match(key_pattern(max_chars), name) is None:
        rule = (
            f"must be 1 to {max_chars} printable ASCII characters without spaces, slashes, commas and quotes; it must"
            " not contain '..' or '~~', nor begin or end with '.'"
        )
        raise InvalidArgument("Idempotency-Key", rule, header)
    return name.strip('"')
