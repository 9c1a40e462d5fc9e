"""Which calls are retried after Redis was unreachable."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ops.keys import KEYS
from producers.queue import users
from producers.queue.cancel_messages import CANCEL as CANCEL_SCRIPT
from producers.queue.submit import Submission, SubmitOptions, submit
from producers.transport.commands import GET, HGETALL
from producers.transport.connections import NotConnected, PrimaryDemoted
from producers.transport.plan import RunScript, Step, Transaction
from producers.transport.retry import MAX_PAUSE_S, RetryBudget, is_retryable, was_refused_untouched
from tests.support.changes import change

TERMS = SubmitOptions(10)
SUBMISSION = Submission.from_change(change(), "j1", TERMS, now_ms=1, ttl_ms=1_000)
READ = Transaction(GET("a"), HGETALL("b"))
SUBMIT = submit([SUBMISSION], TERMS)
REPLAY = submit([Submission.from_change(change(), "j1", TERMS, now_ms=1, ttl_ms=1_000, dead_letter_id="j0")], TERMS)
CANCEL = RunScript[Any](CANCEL_SCRIPT, [])
WRITE = next(users.limit_user(KEYS, "1001", 5))

LOST = [RedisConnectionError("gone"), RedisTimeoutError("slow")]
UNTOUCHED = [
    NotConnected("refused"),
    PrimaryDemoted("replica"),
    BusyLoadingError("loading"),
    OutOfMemoryError("full"),
    *map(ResponseError, ("BUSY Redis is busy running a script", "OOM command not allowed")),
    ResponseError("Command # 1 (GET a) of pipeline caused error: MASTERDOWN Link with MASTER is down"),
]
PASSING = [ResponseError(text) for text in ("NOREPLICAS Not enough", "MISCONF Errors writing")]
LASTING = [
    NoPermissionError("no"),
    AuthenticationError("who?"),
    ResponseError("WRONGTYPE"),
    ResponseError("ERR ACL failure"),
]


@pytest.mark.parametrize("step", [READ, SUBMIT], ids=["a read", "a submission"])
@pytest.mark.parametrize("error", [*LOST, *UNTOUCHED, *PASSING], ids=repr)
def test_an_idempotent_call_is_retried_after_any_failure(step: Step[Any], error: RedisError) -> None:
    """A second read or submission has the effect of one, even if the first arrived."""
    assert is_retryable(error, step)


@pytest.mark.parametrize("step", [CANCEL, REPLAY, WRITE], ids=["taking back", "a replay", "a write"])
@pytest.mark.parametrize("error", LOST, ids=repr)
def test_a_call_that_is_not_idempotent_is_not_retried_after_a_lost_reply(step: Step[Any], error: RedisError) -> None:
    """A second cancellation would say that there was nothing to cancel."""
    assert not is_retryable(error, step)


@pytest.mark.parametrize("step", [CANCEL, REPLAY, WRITE, READ, SUBMIT])
@pytest.mark.parametrize("error", UNTOUCHED, ids=repr)
def test_a_call_that_did_not_reach_redis_is_retried(step: Step[Any], error: RedisError) -> None:
    """Nothing was executed, so even a write can be repeated."""
    assert is_retryable(error, step)


@pytest.mark.parametrize("step", [READ, SUBMIT])
@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_a_lasting_refusal_is_raised_at_once(step: Step[Any], error: RedisError) -> None:
    """Waiting does not cure a missing right, a wrong password or a key of the wrong type."""
    assert not is_retryable(error, step)


def test_pauses_grow_are_capped_and_end() -> None:
    """They are jittered: between a half and all of it."""
    patience = RetryBudget(100)
    pauses_s = [patience.pause_s(LOST[0], READ) or 0 for _ in range(12)]

    assert pauses_s[0] <= 0.05
    assert all(MAX_PAUSE_S / 2 <= pause_s <= MAX_PAUSE_S for pause_s in pauses_s[6:])
    assert RetryBudget(0).pause_s(LOST[0], READ) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AuthenticationError("who?"), True),
        (NoPermissionError("this user has no permissions to run the 'evalsha' command"), True),
        (ResponseError("ASK 7 10.0.0.1:6379"), True),
        (PrimaryDemoted("replica"), True),
        (NoPermissionError("ACL failure in script: this user has no permissions to run the 'set' command"), False),
        (ResponseError("MISCONF Errors writing"), False),
        (ResponseError("TRYAGAIN Multiple keys request during rehashing of slot"), False),
        (RedisTimeoutError("slow"), False),
    ],
    ids=repr,
)
def test_a_refusal_before_a_step_ran_leaves_nothing_in_doubt(error: RedisError, *, expected: bool) -> None:
    """Unless an earlier try of the step may have run."""
    assert was_refused_untouched(error) is expected

    budget = RetryBudget(100)
    budget.pause_s(LOST[0], SUBMIT)
    budget.pause_s(error, SUBMIT)
    assert not was_refused_untouched(error)
