"""One attempt at a change, and the end of the session that it belongs to."""

from __future__ import annotations

import asyncio

import pytest

from producers.contract import attempt_history
from tests.support.attempts import LATE_FOR_S, Bench, granted
from worker.queue.claims import Finish, Requeue


async def test_nothing_is_sent_if_the_session_ended_before_the_slot() -> None:
    """The change is put back with its history."""
    bench = Bench(granted())
    bench.trusted.clear()
    history = attempt_history.encode(attempt_history.AttemptHistory(tries=3))

    settlement = await bench.apply(bench.claim(history=history))

    assert bench.sent == []
    assert isinstance(settlement, Requeue)
    assert (settlement.history, settlement.request) == (history, None)


async def test_nothing_is_sent_if_the_session_ends_while_waiting_for_a_connection() -> None:
    """The change is put back without a try."""
    bench = Bench(granted())
    bench.connected = bench.trusted.clear

    settlement = await bench.apply(bench.claim())

    assert bench.sent == []
    assert isinstance(settlement, Requeue)
    assert settlement.request is None


async def test_a_claim_of_an_earlier_session_is_not_sent_by_the_next_one() -> None:
    """Others have its lane, though the worker may claim again."""
    bench = Bench(granted())
    bench.trusted = {"the next one"}

    assert isinstance(await bench.apply(bench.claim()), Requeue)
    assert bench.sent == []


async def test_a_request_under_way_is_given_up_when_its_session_ends() -> None:
    """It may have been applied, so it settles as ambiguous, and the task that ran it goes on."""
    bench = Bench()
    bench.answers_at_once = False
    attempt = asyncio.create_task(bench.apply(bench.claim()))
    async with asyncio.timeout(30):
        await bench.under_way.wait()
    bench.trusted.clear()

    bench.on_lost()
    async with asyncio.timeout(30):
        settlement = await attempt

    assert isinstance(settlement, Requeue)
    assert settlement.request is not None
    assert (settlement.request.attempt.verdict, settlement.request.was_aborted) == ("ambiguous", True)
    assert settlement.request.late_until_s == pytest.approx(LATE_FOR_S)
    assert attempt.cancelling() == 0


async def test_a_request_of_a_session_that_is_still_trusted_is_not_given_up() -> None:
    """Only those of the session that ended are."""
    bench = Bench(granted())
    bench.answers_at_once = False
    attempt = asyncio.create_task(bench.apply(bench.claim()))
    async with asyncio.timeout(30):
        await bench.under_way.wait()

    bench.on_lost()
    bench.may_answer.set()
    async with asyncio.timeout(30):
        settlement = await attempt

    assert isinstance(settlement, Finish)
    assert settlement.results[0].applied


@pytest.mark.parametrize(("is_stopping", "abandoned"), [(False, ["w"]), (True, [])], ids=["works", "stops"])
async def test_a_session_is_abandoned_in_which_an_attempt_ends_unsettled(
    is_stopping: bool, abandoned: list[str]
) -> None:
    """It would hold the lane for as long as its worker lives; that of a worker that stops lapses anyway."""
    bench = Bench(granted())
    bench.may_settle.clear()
    attempt = asyncio.create_task(bench.apply(bench.claim()))
    async with asyncio.timeout(30):
        await bench.settling.wait()
    if is_stopping:
        bench.attempt_runner.stop()

    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert (bench.settlements, bench.abandoned) == ([], abandoned)


async def test_a_request_that_is_cancelled_by_others_stays_cancelled() -> None:
    """A worker that is ended does not settle it."""
    bench = Bench()
    bench.answers_at_once = False
    attempt = asyncio.create_task(bench.apply(bench.claim()))
    async with asyncio.timeout(30):
        await bench.under_way.wait()

    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert bench.settlements == []
