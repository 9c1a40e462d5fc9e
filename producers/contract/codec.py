"""Encoding and decoding of stored messages: arq's job and result formats in msgpack, never pickle.

A stored change is an arq job:
`{"t": null, "f": "apply_settings", "a": [change], "k": {"v": 1, "ttlMs": ...}, "et": ms}`.

A later version may add fields to any of these messages. They are ignored here; a field that must not be ignored comes
with a higher `CONTRACT_VERSION`.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from producers.contract.keyspace import CONTROL_QUEUE
from producers.contract.messages import (
    APPLY_SETTINGS,
    CONTRACT_VERSION,
    SUBMIT,
    CopySetting,
    JobResult,
    Priority,
    SettingsChange,
)
from producers.errors import MalformedChange, abbreviated


class ChangeOptions(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The options that are stored with a change.

    Attributes:
        v: contract version of the message.
        ttl_ms: the change's deadline, milliseconds after its enqueue time.
        coalesce: whether it may be sent in one request with the changes before it; absent means no.
        priority: absent means interactive.
        digest: of the change's content, see `change_digest`; absent in changes of earlier versions.
        traceparent: the trace context that it was enqueued in; absent if it is not traced.
    """

    v: int = CONTRACT_VERSION
    ttl_ms: int
    coalesce: bool | msgspec.UnsetType = msgspec.UNSET
    priority: Priority | msgspec.UnsetType = msgspec.UNSET
    digest: str | msgspec.UnsetType = msgspec.UNSET
    traceparent: str | msgspec.UnsetType = msgspec.UNSET


class StoredChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change as it is stored in Redis: arq's job format, with arq's field names.

    Attributes:
        t: arq's try; always None, because the lane counts tries.
        f: arq's function name.
        a: the change.
        k: its options.
        et: enqueue time, Unix milliseconds on Redis's clock.
    """

    t: None = None
    f: str
    a: tuple[SettingsChange]
    k: ChangeOptions
    et: int


class _LenientSetting(CopySetting, frozen=True, forbid_unknown_fields=False): ...


class _LenientChange(SettingsChange, frozen=True, forbid_unknown_fields=False):
    settings: list[_LenientSetting]  # type: ignore[assignment]  # a list of a subclass; nobody appends to it


class _LenientStoredChange(StoredChange, frozen=True):
    """A stored change whose unknown fields are ignored; for decoding only."""

    a: tuple[_LenientChange]


class _Envelope(msgspec.Struct):
    """The part of a stored change that all contract versions share."""

    f: str
    a: msgspec.Raw
    k: dict[str, Any]
    et: int


MAX_PAYLOAD_BYTES = 64 * 1024
"""The largest stored change that is read. Ten settings with every field at its longest are below 20 KiB."""

FUNCTION_BYTES = msgspec.msgpack.encode({"f": APPLY_SETTINGS})[1:]
SUBMIT_BYTES = msgspec.msgpack.encode({"f": SUBMIT})[1:]
BULK_BYTES = msgspec.msgpack.encode({"priority": Priority.BULK})[1:]
COALESCE_BYTES = msgspec.msgpack.encode({"coalesce": True})[1:]
"""The bytes that are searched for in a stored change: a field and its value, without the header of their map."""

DIGEST_CHARS = 16
DIGEST_BYTES = msgspec.msgpack.encode({"digest": "0" * DIGEST_CHARS})[1:-DIGEST_CHARS]
"""The bytes before the digest of a change's content, in the change and in its result."""

TRACEPARENT_CHARS = 55
TRACEPARENT_BYTES = msgspec.msgpack.encode({"traceparent": "0" * TRACEPARENT_CHARS})[1:-TRACEPARENT_CHARS]
"""The bytes before the trace context of a change (W3C Trace Context, version 00: two, 32, 16 and two digits)."""

BEGINNING_BYTES = 64
"""Of a stored change or result: as they are encoded here, FUNCTION_BYTES are among them."""

_MAP_HEADERS = frozenset(range(0x80, 0x90)) | {0xDE, 0xDF, ord("{")}
"""First bytes of a map in msgpack, of a pickle, and of an object in JSON: of jobs and results of all arq apps."""

_encoder = msgspec.msgpack.Encoder()
_change_decoder = msgspec.msgpack.Decoder(_LenientStoredChange)
_envelope_decoder = msgspec.msgpack.Decoder(_Envelope)
_result_decoder = msgspec.msgpack.Decoder(dict[str, Any])


def encode_change(
    change: SettingsChange,
    *,
    enqueued_at_ms: int,
    ttl_ms: int,
    coalesce: bool = False,
    priority: Priority = Priority.INTERACTIVE,
    digest: str | None = None,
    traceparent: str = "",
) -> bytes:
    """Return a change in arq's job format; `digest` if it is known already, `traceparent` if it is traced."""
    options = ChangeOptions(
        ttl_ms=ttl_ms,
        coalesce=coalesce or msgspec.UNSET,
        priority=priority if priority is Priority.BULK else msgspec.UNSET,
        digest=digest or change_digest(change),
        traceparent=traceparent or msgspec.UNSET,
    )
    return _encoder.encode(StoredChange(f=APPLY_SETTINGS, a=(change,), k=options, et=enqueued_at_ms))


def change_digest(change: SettingsChange) -> str:
    """Return a digest that is the same for changes of the same content."""
    return hashlib.blake2b(_encoder.encode(change), digest_size=DIGEST_CHARS // 2).hexdigest()


def decode_change(payload: bytes) -> StoredChange:
    """Return the stored change in a payload.

    Raises:
        MalformedChange: the payload is truncated, of another shape or function, or of a newer contract version.
    """
    try:
        decoded = _change_decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedChange(_explain(payload, exc)) from exc
    if decoded.f != APPLY_SETTINGS:
        raise MalformedChange(_unknown_function(decoded.f))
    if decoded.k.v > CONTRACT_VERSION:
        raise MalformedChange(_newer_version(decoded.k.v))
    change = msgspec.convert(decoded.a[0], SettingsChange, from_attributes=True)
    return StoredChange(f=decoded.f, a=(change,), k=decoded.k, et=decoded.et)


def traceparent_of(payload: bytes) -> str:
    """Return the trace context of a stored change without decoding it; "" if it has none."""
    _, marker, rest = payload.partition(TRACEPARENT_BYTES)
    return rest[:TRACEPARENT_CHARS].decode("ascii", "replace") if marker else ""


def is_foreign(stored: bytes) -> bool:
    """Return whether a job or result is not a change's: an arq app in the same database has the same key prefixes."""
    return stored[:1] != b"" and stored[0] in _MAP_HEADERS and FUNCTION_BYTES not in stored


def is_submit_job(stored: bytes) -> bool:
    """Return whether a job or result is that of a control job which enqueues a change."""
    return is_foreign(stored) and SUBMIT_BYTES in stored


def _explain(payload: bytes, exc: Exception) -> str:
    """Return why a payload is malformed. Name a newer version or another function first: they explain a wrong field."""
    try:
        envelope = _envelope_decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return f"the payload is not a stored change: {exc}"
    if envelope.f != APPLY_SETTINGS:
        return _unknown_function(envelope.f)
    version = envelope.k.get("v")
    if isinstance(version, int) and version > CONTRACT_VERSION:
        return _newer_version(version)
    return f"the payload is not a stored change: {exc}"


def _unknown_function(name: str) -> str:
    return f"the job has the unknown function {abbreviated(name)}; lanes hold only {APPLY_SETTINGS!r}"


def _newer_version(version: int) -> str:
    return f"the change has contract version {version}, this worker reads up to {CONTRACT_VERSION}: update the worker"


def encode_result(result: JobResult) -> bytes:
    """Return a result in arq's result format. `r` holds the JobResult; arq's arguments are left empty."""
    return _encoder.encode(
        {
            "t": max(1, result.tries),
            "f": APPLY_SETTINGS,
            "a": (),
            "k": {"v": CONTRACT_VERSION},
            "et": result.enqueued_at_ms,
            "s": True,
            "r": result,
            "st": result.started_at_ms or result.finished_at_ms,
            "ft": result.finished_at_ms,
            "q": CONTROL_QUEUE,
            "id": result.job_id,
        }
    )


def decode_result(payload: bytes) -> JobResult:
    """Return the JobResult in a stored arq result.

    Raises:
        msgspec.MsgspecError: the payload holds none.
    """
    stored = _result_decoder.decode(payload)
    if stored.get("f") != APPLY_SETTINGS:
        raise msgspec.ValidationError(f"it is of the function {abbreviated(stored.get('f'))}")
    if "r" not in stored:
        raise msgspec.ValidationError("the stored result has no field 'r'")
    return msgspec.convert(stored["r"], JobResult)


def serialize(data: dict[str, Any]) -> bytes:
    """Serialize a control job, as arq's `job_serializer`. An exception becomes its text."""
    return msgspec.msgpack.encode(data, enc_hook=_as_text)


def deserialize(payload: bytes) -> dict[str, Any]:
    """Deserialize a control job, as arq's `job_deserializer`. arq reads `t`, which other programs may leave out."""
    return {"t": None} | _result_decoder.decode(payload)


def _as_text(value: object) -> str:
    return f"{type(value).__name__}: {value}"
