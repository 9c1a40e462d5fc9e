"""What an error of redis-py means: the error code that Redis sent, and whether Redis is away.

redis-py hides the code in several ways. It has classes for some codes and strips the code from their texts; in a
pipeline it puts the command in front of the text; and Redis 6.2 puts the place in the script in front of an error that
a script met. So class and text are both read, here and in no other module.
"""

from __future__ import annotations

import re
from enum import StrEnum

from redis.exceptions import BusyLoadingError, ClusterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

FULL = "OOM"
"""The code of a Redis whose memory is at `maxmemory`; submit.lua replies it too, when changes are refused early."""

REFUSED_UNTOUCHED = frozenset({"ASK", "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", FULL, "READONLY"})
"""Codes of refusals that end by themselves, or that an operator ends. Nothing was written: Redis checks these before it
runs a command, and before the first write of a script."""

REFUSED_MIDWAY = frozenset({"MISCONF", "NOREPLICAS", "TRYAGAIN", "UNKILLABLE"})
"""Codes of such refusals that may come after a script has written a part: the disk can fail while it runs."""

_CODE_OF_CLASS = {
    BusyLoadingError: "LOADING",
    ClusterDownError: "CLUSTERDOWN",
    OutOfMemoryError: FULL,
    ReadOnlyError: "READONLY",
    TryAgainError: "TRYAGAIN",
}
_CLUSTER_NOTE = "on a connection to a Redis Cluster"
_pipeline_prefix = re.compile(r"^Command # \d+ \(.*\) of pipeline caused error: (?:\(['\"])?", re.DOTALL)
_script_prefix = re.compile(r"^(?:ERR )?Error running script.*@user_script: ?\d+: ", re.DOTALL)
_code = re.compile(r"-?([A-Z]+) ")


def refusal_text(error: BaseException) -> str:
    """Return what Redis said, without the command and the place in the script that stand before it."""
    return _script_prefix.sub("", _pipeline_prefix.sub("", str(error))).removesuffix("',)")


def refusal_code(error: BaseException) -> str:
    """Return the code of a refusal of Redis, such as "OOM"; "" if there is none."""
    for error_class, code in _CODE_OF_CLASS.items():
        if isinstance(error, error_class):
            return code
    found = _code.match(refusal_text(error))
    return found[1] if found else ""


def mark_from_cluster(error: BaseException) -> None:
    """Note in an error that it comes from looking for the owner of a slot, or from a connection to it."""
    if not is_from_cluster(error):
        error.add_note(_CLUSTER_NOTE)


def is_from_cluster(error: BaseException) -> bool:
    """Return whether an error was marked so."""
    return _CLUSTER_NOTE in getattr(error, "__notes__", ())


class ErrorKind(StrEnum):
    """What is wrong with Redis, coarsely: for counts and for a worker's readiness."""

    AWAY = "away"
    """It cannot be reached, did not reply in time, or is the primary, or the owner of the slot, no longer."""
    BUSY = "busy"
    """It runs a script, or loads its data."""
    FULL = "full"
    """Its memory is at `maxmemory`."""
    UNWRITABLE = "unwritable"
    """It takes no writes: a replica, too few replicas, a cluster that is down, a slot on its way, a full disk."""
    REFUSED = "refused"
    """It refused the call for another reason, such as its ACL or a key of a wrong type."""


_KINDS = dict.fromkeys(REFUSED_UNTOUCHED | REFUSED_MIDWAY, ErrorKind.UNWRITABLE) | {
    "BUSY": ErrorKind.BUSY,
    "LOADING": ErrorKind.BUSY,
    "UNKILLABLE": ErrorKind.BUSY,
    FULL: ErrorKind.FULL,
}


def error_kind(error: BaseException) -> ErrorKind:
    """Return what is wrong with Redis."""
    found = _KINDS.get(refusal_code(error))
    if found is None and isinstance(error, RedisConnectionError | RedisTimeoutError | OSError):
        return ErrorKind.AWAY
    return found or ErrorKind.REFUSED


def is_away(error: Exception) -> bool:
    """Return whether Redis cannot be reached, or refuses for a reason that passes."""
    if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError):
        return True
    return refusal_code(error) in REFUSED_UNTOUCHED | REFUSED_MIDWAY
