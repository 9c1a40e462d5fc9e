"""Plans, step by step without Redis: what they ask and return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard, cast

import pytest
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from ops.keys import KEYS
from producers import BatchNotFound, Cancellation, JobNotFound, JobState, Outcome, QueueUnavailable
from producers.contract.codec import encode_change, encode_result
from producers.queue.cancel import MAX_CANCEL_ROUNDS, cancel_jobs
from producers.queue.cancel_messages import CANCEL, CancelRequest
from producers.queue.jobs import fetch_result, fetch_status
from producers.queue.lanes import LaneScore
from producers.queue.pauses import CHUNK_SIZE, ResumeRequest, Scope, resume
from producers.queue.results import read_page
from producers.transport.commands import GET
from producers.transport.plan import Plan, RunScript, Step
from producers.transport.runner import run_plan
from producers.transport.script_messages import decode
from tests.support.changes import change, result

PAYLOAD = encode_change(change(), enqueued_at_ms=1, ttl_ms=1000)
RESULT = encode_result(result("j1"))
NOWHERE = [None, None, None, None]
"""No head, no score in either set, and no place behind the head."""


GONE: list[Any] = [(0, 0), [None, None, None], *[None] * 6, [None, None], {}, []]
"""The reply to the question why a change waits, if it ended meanwhile."""


def driven(plan: Plan[Any], answer: Callable[[Step[Any]], Any]) -> tuple[Any, list[Step[Any]]]:
    """Return a plan's result for these replies, and its steps."""
    steps: list[Step[Any]] = []
    try:
        step = next(plan)
        while True:
            steps.append(step)
            step = plan.send(answer(step))
    except StopIteration as end:
        return end.value, steps


def in_turn(*replies: Any) -> Callable[[Step[Any]], Any]:
    left = iter(replies)
    return lambda _: next(left)


def test_a_change_without_a_result_is_queued_or_not_found() -> None:
    """Only a change that does not exist raises; one that has not ended has no result yet."""
    assert driven(fetch_result(KEYS, "j1"), in_turn([RESULT, b""]))[0] == result("j1")
    assert driven(fetch_result(KEYS, "j1"), in_turn([None, PAYLOAD[:64]]))[0] is None
    with pytest.raises(JobNotFound, match="no change j1"):
        driven(fetch_result(KEYS, "j1"), in_turn([None, b""], [b"", b""]))


def test_a_change_that_ends_between_two_reads_is_done() -> None:
    """Its payload was found but its place in the lane is gone, so the result is read again."""
    found, _ = driven(fetch_status(KEYS, "j1"), in_turn([None, PAYLOAD], NOWHERE, [RESULT]))

    assert (found.state, found.result) == (JobState.DONE, result("j1"))
    gone, _ = driven(fetch_status(KEYS, "j1"), in_turn([None, PAYLOAD], NOWHERE, [None], [b"", b""]))
    assert gone.state is JobState.NOT_FOUND


@pytest.mark.parametrize("is_bulk", [False, True])
@pytest.mark.parametrize(
    ("head", "score", "place", "position"),
    [
        ("j1", 5, None, 0),
        ("j1", LaneScore.PARKED, None, 0),
        ("j1", LaneScore.IN_FLIGHT, None, None),
        ("j0", 5, 0, 1),
        ("j0", LaneScore.IN_FLIGHT, 1, 2),
    ],
)
def test_only_the_head_of_a_lane_in_flight_is_in_flight(
    head: str, score: float, place: int | None, position: int | None, is_bulk: bool
) -> None:
    """The lane's score decides, in either set of its user; a change behind the head has a position."""
    scores = [None, float(score)] if is_bulk else [float(score), None]
    stored = f"3 0 0 0 b {head}".encode()

    found, _ = driven(fetch_status(KEYS, "j1"), in_turn([None, PAYLOAD], [stored, *scores, place], GONE))

    assert found.state is (JobState.IN_FLIGHT if position is None else JobState.QUEUED)
    assert found.position == position


def cancelling(verdicts: list[list[int]]) -> Callable[[Step[Any]], Any]:
    """Answer a cancellation of queued changes with these payloads, states and verdicts."""
    left = iter(verdicts)

    def answer(step: Step[Any]) -> Any:
        if isinstance(step, RunScript):
            return next(left) if step.script is CANCEL else 0
        names = [str(command[0]) for command in step.commands]
        if names[0] == "MGET":
            return [[PAYLOAD] * (len(step.commands[0]) - 1)]
        replies: dict[str, Any] = {"HGET": b"2 2 0 0 i j1", "HMGET": [None, None], "TIME": (1, 2)}
        return [replies[name] for name in names]

    return answer


def taken_back(steps: list[Step[Any]]) -> list[set[str]]:
    """Return the changes of each run of the script."""
    requests = [decode(CancelRequest, cast("bytes", step.args[0])) for step in steps if _cancels(step)]
    return [{change.job_id for change in request.changes} for request in requests]


def _cancels(step: Step[Any]) -> TypeGuard[RunScript[Any]]:
    return isinstance(step, RunScript) and step.script is CANCEL


def test_only_a_change_whose_state_changed_is_read_again() -> None:
    """The first run of the script cancels the other one, which the second run leaves out."""
    verdicts, steps = driven(cancel_jobs(KEYS, ["j1", "j2"], result_ttl_ms=1), cancelling([[-2, 1], [1]]))

    assert verdicts == [Cancellation.CANCELLED, Cancellation.CANCELLED]
    assert taken_back(steps) == [{"j1", "j2"}, {"j1"}]


def test_a_change_whose_state_keeps_changing_is_reported_in_flight() -> None:
    """The number of rounds is bounded, so the call ends."""
    verdicts, steps = driven(cancel_jobs(KEYS, ["j1"], result_ttl_ms=1), cancelling([[-2]] * MAX_CANCEL_ROUNDS))

    assert verdicts == [Cancellation.IN_FLIGHT]
    assert len(taken_back(steps)) == MAX_CANCEL_ROUNDS


def test_a_change_named_twice_is_cancelled_once() -> None:
    """Both places of the answer have the same verdict."""
    verdicts, steps = driven(cancel_jobs(KEYS, ["j1", "j1"], result_ttl_ms=1), cancelling([[1]]))

    assert verdicts == [Cancellation.CANCELLED] * 2
    assert taken_back(steps) == [{"j1"}]


def test_cancelling_no_changes_makes_no_call() -> None:
    """An empty list does not need Redis."""
    assert driven(cancel_jobs(KEYS, [], result_ttl_ms=1), in_turn()) == ([], [])


def test_an_empty_page_reads_no_results() -> None:
    """One step suffices, also for the entry that ends a batch; a result takes a second step."""
    empty, steps = driven(read_page(KEYS, "b", None), in_turn([[], [b"1", None]]))
    assert (empty.results, empty.complete, empty.cursor, len(steps)) == ([], False, "b/0-0", 1)
    last, steps = driven(read_page(KEYS, "b", "b/1-0"), in_turn([[(b"2-0", {b"end": b"1"})], [b"1", b"2-0"]]))
    assert (last.results, last.complete, len(steps)) == ([], True, 1)
    entry = (b"3-0", {b"job": b"j1", b"outcome": b"applied"})

    found, steps = driven(read_page(KEYS, "b", None), in_turn([[entry], [b"1", None]], [[RESULT]]))

    assert (found.results, found.positions, found.cursor, len(steps)) == ([result("j1")], ["3-0"], "b/3-0", 2)
    with pytest.raises(BatchNotFound):
        driven(read_page(KEYS, "b", None), in_turn([[entry], [None, None]]))


def test_a_malformed_result_is_not_found() -> None:
    """`JobNotFound` is raised in place of a decoder's error."""
    for stored in (b"", b"\xc1", PAYLOAD):
        with pytest.raises(JobNotFound, match="what is stored as its result is none"):
            driven(fetch_result(KEYS, "j1"), in_turn([stored, b""]))


def test_the_lanes_of_a_resumed_trader_are_moved_in_bounded_calls() -> None:
    """Until the script says that there are no more, so that none blocks Redis for long."""
    has_more = iter([1, 1, 0])

    def answer(step: Step[Any]) -> Any:
        return next(has_more) if isinstance(step, RunScript) else [1 for _ in step.commands]

    removed, steps = driven(resume(KEYS, Scope("trader", "t")), answer)

    assert removed is True
    asked = [decode(ResumeRequest, cast("bytes", step.args[0])) for step in steps if isinstance(step, RunScript)]
    assert [request.count for request in asked] == [CHUNK_SIZE] * 3


async def test_errors_of_a_plan_are_raised_unchanged(fake_redis: ArqRedis) -> None:
    """Only an error of Redis becomes `QueueUnavailable`."""

    def plan(error: Exception) -> Plan[None]:
        yield GET("k")
        raise error

    for error in (BatchNotFound("b"), OSError("a file"), KeyError("k")):
        with pytest.raises(type(error)):
            await run_plan(fake_redis, plan(error), "testing")
    with pytest.raises(QueueUnavailable):
        await run_plan(fake_redis, plan(RedisError("gone")), "testing")


@pytest.mark.parametrize("outcome", Outcome)
def test_an_expired_result_is_reported_by_its_outcome(outcome: Outcome) -> None:
    """The batch keeps ID and outcome; user and attempts have gone with the result."""
    entry = (b"3-0", {b"job": b"b..1", b"outcome": outcome.encode()})

    found, _ = driven(read_page(KEYS, "b", None), in_turn([[entry], [b"1", None]], [[None]]))

    (only,) = found.results
    assert (only.job_id, only.outcome, only.user_id, only.attempts) == ("b..1", outcome, "", [])
