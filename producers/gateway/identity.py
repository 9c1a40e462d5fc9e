"""The IDs that calls give to changes and batches: `<key ID>.<Idempotency-Key>`, or `<key ID>.<new ID>`."""

from __future__ import annotations

from producers.contract.ids import SortableIds
from producers.errors import InvalidArgument
from producers.gateway.service import AnyRequest, key_of

_ids = SortableIds()


def new_id(request: AnyRequest) -> str:
    """Return the ID that a call gives.

    Raises:
        InvalidArgument: its Idempotency-Key is empty.
    """
    return f"{key_of(request).key_id}.{_idempotency_key(request) or _ids.next()}"


def _idempotency_key(request: AnyRequest) -> str | None:
    """Return the Idempotency-Key of a call, which may be in quotes; None without one."""
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    name = header.strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1]
    if not name:
        raise InvalidArgument("Idempotency-Key", "must not be empty", header)
    return name
