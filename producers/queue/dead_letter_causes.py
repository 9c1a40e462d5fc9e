"""Why changes died, as their results tell it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from producers.contract.keyspace import Keyspace
from producers.queue.slicing import slices
from producers.transport.commands import MGET
from producers.transport.plan import Plan

READ_SIZE = 1000
"""Results a trip: about 500 KB."""


class Cause(msgspec.Struct, frozen=True):
    """The part of a result that tells why its change died.

    Attributes:
        code: the exchange's code; None if nothing was sent, or if the result has expired.
        message: the exchange's message or ours.
    """

    code: str | None = None
    message: str = ""


class _StoredResult(msgspec.Struct, frozen=True):
    """The part of arq's result format that holds the result; the rest is skipped, which saves most of the time."""

    r: Cause


NO_CAUSE = Cause()
_decode = msgspec.msgpack.Decoder(_StoredResult).decode


def fetch_causes(keys: Keyspace, job_ids: Sequence[str]) -> Plan[list[Cause]]:
    """Return why changes died; `NO_CAUSE` for those whose results have expired or cannot be read."""
    found: list[Cause] = []
    for some in slices(job_ids, READ_SIZE):
        stored = yield from MGET(*(keys.result + job_id for job_id in some))
        found += map(_cause, stored)
    return found


def _cause(stored: bytes | None) -> Cause:
    if stored is None:
        return NO_CAUSE
    try:
        return _decode(stored).r
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NO_CAUSE
