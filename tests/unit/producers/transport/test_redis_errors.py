"""The error code of a refusal, however redis-py and Redis wrap it."""

from __future__ import annotations

import pytest
from redis.exceptions import (
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from producers.transport.connections import PrimaryDemoted, SlotMoved
from producers.transport.redis_errors import ErrorKind, error_kind, is_away, refusal_code, refusal_text

AWAY = [
    "ASK 7 10.0.0.1:6379",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN The cluster is down",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "NOREPLICAS Not enough good replicas to write.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "UNKILLABLE Sorry the script already executed write commands against the dataset.",
]
LASTING = [
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR ACL failure in script: User copytrade-worker has no permissions",
    "NOPERM No permissions to access a key",
    "BUSYGROUP Consumer Group name already exists",
    "BUSYKEY Target key name already exists.",
    "ERR user_script:1: attempt to call a nil value",
]
WRAPPED = {
    "plain": "{0}",
    "pipeline": "Command # 1 (EVALSHA 1f 1 copytrade:lane:BUSY j OOM x) of pipeline caused error: {0}",
    "asyncio pipeline": "Command # 12 (EVALSHA 1f (2)\nMISCONF x) of pipeline caused error: ('{0}',)",
    "script on 6.2": "Error running script (call to f_1f): @user_script:110: @user_script: 110: -{0}",
    "raised again on 6.2": "ERR Error running script (call to f_1f): @user_script: 181: -{0}",
}


@pytest.mark.parametrize("wrapping", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_refusal_that_passes_is_told_from_a_lasting_one(wrapping: str) -> None:
    """Its code counts and nothing else: lanes and payloads of a pipeline's command may hold any word."""
    for text in AWAY:
        error = ResponseError(wrapping.format(text))
        assert (refusal_code(error), is_away(error)) == (text.partition(" ")[0], True)
        assert refusal_text(error).removeprefix("-") == text
    for text in LASTING:
        assert not is_away(ResponseError(wrapping.format(text)))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutOfMemoryError("command not allowed"), "OOM"),
        (OutOfMemoryError("Command # 1 (SET a b) of pipeline caused error: ('command not allowed',)"), "OOM"),
        (BusyLoadingError("Redis is loading"), "LOADING"),
        (ReadOnlyError("You can't write"), "READONLY"),
        (RedisConnectionError("Connection closed by server."), ""),
        (TimeoutError("slow"), ""),
        (ConnectionRefusedError(111, "Connect call failed"), ""),
    ],
    ids=repr,
)
def test_the_class_tells_where_redis_py_strips_the_code(error: Exception, code: str) -> None:
    """A Redis that cannot be reached is away, too, without a code."""
    assert (refusal_code(error), is_away(error)) == (code, True)


def test_a_missing_right_does_not_pass() -> None:
    """Waiting would not help."""
    assert not is_away(NoPermissionError("no permissions to run EVALSHA"))


def test_errors_have_few_kinds() -> None:
    """One for each thing that an operator does about them; what is refused for good is one."""
    kinds = {text.partition(" ")[0]: error_kind(ResponseError(text)) for text in AWAY}
    busy = {"BUSY", "LOADING", "UNKILLABLE"}

    assert {code for code, kind in kinds.items() if kind is ErrorKind.BUSY} == busy
    assert {code for code, kind in kinds.items() if kind is ErrorKind.FULL} == {"OOM"}
    assert {code for code, kind in kinds.items() if kind is ErrorKind.UNWRITABLE} == set(kinds) - busy - {"OOM"}
    assert {error_kind(ResponseError(text)) for text in LASTING} == {ErrorKind.REFUSED}
    assert {error_kind(error) for error in (RedisConnectionError("gone"), TimeoutError())} == {ErrorKind.AWAY}
    assert {error_kind(error) for error in (PrimaryDemoted("demoted"), SlotMoved("MOVED 7 a:1"))} == {ErrorKind.AWAY}
    assert error_kind(BusyLoadingError("loading")) is ErrorKind.BUSY
