"""Changes of a batch's template: the content that the users of a fan-out share, stored once. No I/O."""

from __future__ import annotations

import functools

import msgspec

from producers.contract.codec import StoredChange, change_digest, decode_change


@functools.lru_cache(maxsize=64)
def _decode_template(template: bytes) -> StoredChange:
    return decode_change(template)


def change_of_template(template: bytes, user_id: str, enqueued_ms: int, ttl_ms: int) -> StoredChange:
    """Return one user's change of a batch's template, which is stored as the change of a placeholder.

    Raises:
        MalformedChange: the template is none.
    """
    stored = _decode_template(template)
    change = msgspec.structs.replace(stored.a[0], user_id=user_id)
    options = msgspec.structs.replace(stored.k, ttl_ms=ttl_ms, digest=msgspec.UNSET)
    return StoredChange(f=stored.f, a=(change,), k=options, et=enqueued_ms)


def payload_of_template(template: bytes, user_id: str, enqueued_ms: int, ttl_ms: int, traceparent: str = "") -> bytes:
    """Return one user's change of a template as it would be stored by itself, with its trace context if it has one.

    Raises:
        MalformedChange: the template is none.
    """
    stored = change_of_template(template, user_id, enqueued_ms, ttl_ms)
    options = msgspec.structs.replace(
        stored.k, digest=change_digest(stored.a[0]), traceparent=traceparent or msgspec.UNSET
    )
    return msgspec.msgpack.encode(msgspec.structs.replace(stored, k=options))
