"""Batches, coalescing, pauses, rates and replays with a whole worker, as the exchange sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.exchange import Fault
from producers import CopySetting, Outcome, Priority, ResultTimeout, SettingsChange
from tests.support.changes import TRADER, change, numbered, setting
from tests.support.fan_outs import to_users
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, USERS, Rig, rig_on

pytestmark = ARQ_CLOSES_OLD_STYLE

REFUSED = "code:40017"


def of(*symbols: str, value: str = "1") -> SettingsChange:
    settings: list[CopySetting] = [setting(symbol=symbol, trace_value=value) for symbol in symbols]
    return SettingsChange(user_id="1001", trader_id=TRADER, settings=settings)


async def joining(rig: Rig, *changes: SettingsChange) -> list[str]:
    return [job.job_id for job in (await rig.producer.enqueue_many(changes, coalesce=True)).jobs]


async def outcomes(rig: Rig, job_ids: list[str]) -> list[Outcome]:
    return [(await rig.producer.job(job_id).result(timeout=0)).outcome for job_id in job_ids]


async def test_a_burst_worker_drains_bulk_too(redis: ArqRedis, tmp_path: Path) -> None:
    """Several changes of one user, between which nothing is in flight."""
    async with rig_on(redis, tmp_path) as rig:
        batch = await rig.producer.fan_out([*numbered(5), change("1002")], batch_id="b")

        worker = await rig.drain()

        assert (await batch.progress()).outcomes == {Outcome.APPLIED: 6}
        assert rig.values_seen() == ["1", "2", "3", "4", "5"]
        assert worker.jobs_complete == 6


async def test_a_batch_s_results_are_streamed_while_it_is_drained(valkey: ArqRedis, tmp_path: Path) -> None:
    """The stream ends with the batch, which is then complete."""
    async with rig_on(valkey, tmp_path) as rig, rig.working():
        batch = await to_users(rig.producer, USERS)
        results = [result async for result in batch.results()]

        assert {(result.user_id, result.outcome) for result in results} == {(user, "applied") for user in USERS}
        assert (await batch.wait(timeout=0)).complete


async def test_a_coalesced_group_is_one_request_with_the_last_setting_of_each_pair(
    valkey: ArqRedis, tmp_path: Path
) -> None:
    """The replaced change ends superseded and names its successor."""
    async with rig_on(valkey, tmp_path) as rig:
        ids = await joining(rig, of("BTCUSDT"), of("ETHUSDT", value="2"), of("BTCUSDT", value="3"))
        worker = await rig.drain()

        assert rig.double.ledger.report().users["1001"].arrivals == 1
        held = {each["symbol"]: each["traceValue"] for each in rig.double.exchange.settings_for("1001")[TRADER]}
        assert held == {"BTCUSDT": "3", "ETHUSDT": "2"}
        assert await outcomes(rig, ids) == [Outcome.SUPERSEDED, Outcome.APPLIED, Outcome.APPLIED]
        assert (await rig.producer.job(ids[0]).result(timeout=0)).successor == ids[2]
        assert worker.jobs_complete == 3


async def test_a_rejected_group_is_sent_one_by_one(valkey: ArqRedis, tmp_path: Path) -> None:
    """One bad member must not fail the others; each counts the group's request as a try."""
    async with rig_on(valkey, tmp_path, faults=[Fault(REFUSED, first=1, user="1001")]) as rig:
        ids = await joining(rig, of("BTCUSDT"), of("ETHUSDT", value="2"), of("BTCUSDT", value="3"))
        await rig.drain()

        assert await outcomes(rig, ids) == [Outcome.APPLIED] * 3
        assert rig.values_seen()[1:] == ["1", "2", "3"]
        assert [(await rig.producer.job(each).result(timeout=0)).tries for each in ids] == [2, 2, 2]


async def test_a_paused_user_is_served_at_once_when_it_is_resumed(valkey: ArqRedis, tmp_path: Path) -> None:
    """A running worker sends nothing of the user before, and goes on with others."""
    async with rig_on(valkey, tmp_path) as rig, rig.working():
        await rig.producer.pause(user_id="1001")
        job = await rig.producer.enqueue(change("1001"))
        other = await rig.producer.enqueue(change("1002"))
        assert (await other.result(timeout=30)).applied
        with pytest.raises(ResultTimeout):
            await job.result(timeout=0.1)
        assert rig.values_seen("1001") == []

        await rig.producer.resume(user_id="1001")

        assert (await job.result(timeout=30)).applied


@pytest.mark.parametrize("scope", ["everything", "egress"])
async def test_a_paused_worker_goes_on_when_it_is_resumed(valkey: ArqRedis, tmp_path: Path, scope: str) -> None:
    """By a pause of everything or of its egress, without a restart."""
    async with rig_on(valkey, tmp_path) as rig, rig.working():
        paused: dict[str, Any] = {"everything": True} if scope == "everything" else {"egress": "default"}
        await rig.producer.pause(**paused)
        job = await rig.producer.enqueue(change())
        with pytest.raises(ResultTimeout):
            await job.result(timeout=0.1)
        await rig.producer.resume(**paused)

        assert (await job.result(timeout=30)).applied


async def test_an_interactive_change_overtakes_a_running_fan_out(valkey: ArqRedis, tmp_path: Path) -> None:
    """It is applied before the 120 bulk changes have ended."""
    async with rig_on(valkey, tmp_path) as rig, rig.working():
        bulk = [change(user, f"t{n}") for n in range(60) for user in USERS[:2]]
        batch = await rig.producer.fan_out(bulk, batch_id="b")

        job = await rig.producer.enqueue(change("1003"), priority=Priority.INTERACTIVE)
        assert (await job.result(timeout=30)).applied

        assert (await batch.progress()).ended < 120
        await batch.cancel()


async def test_a_rate_changed_up_and_down_is_never_exceeded_at_the_exchange(valkey: ArqRedis, tmp_path: Path) -> None:
    """With jittered latency and requests in flight, the exchange throttles none."""
    async with rig_on(valkey, tmp_path, faults=[Fault("latency", ms=20, jitter_ms=60)]) as rig, rig.working():
        batch = await rig.producer.fan_out([change("1001", f"t{n}") for n in range(40)], batch_id="b")
        results = batch.results()
        for rate in (3, 10, 5, 9):
            await rig.producer.limit_user("1001", rate)
            for _ in range(3):
                await anext(results)
        await rig.producer.limit_user("1001", None)
        await batch.wait(timeout=30)

        report = rig.double.ledger.report()
        assert report.users["1001"].peak_in_1s <= 10
        assert report.throttled == 0


async def test_a_user_with_a_slower_rate_is_kept_to_it_at_the_exchange(valkey: ArqRedis, tmp_path: Path) -> None:
    """Four in any second as the exchange counts them, while another user is faster."""
    async with rig_on(valkey, tmp_path) as rig:
        await rig.producer.limit_user("1001", 4)
        await rig.producer.enqueue_many([change(user, f"t{n}") for n in range(9) for user in USERS[:2]])
        await rig.drain()

        users = rig.double.ledger.report().users
        assert users["1001"].peak_in_1s <= 4
        assert users["1002"].peak_in_1s > 4


async def test_a_rejected_change_is_applied_when_it_is_replayed(valkey: ArqRedis, tmp_path: Path) -> None:
    """Three changes of one lane arrive again in their order."""
    async with rig_on(valkey, tmp_path, faults=[Fault(REFUSED, first=3, user="1001")]) as rig:
        results = await rig.outcome(numbered(3))
        assert {result.outcome for result in results} == {Outcome.REJECTED}

        report = await rig.producer.dead.replay(everything=True)
        await rig.drain()

        assert await outcomes(rig, [new for _, new in report.replayed]) == [Outcome.APPLIED] * 3
        assert rig.values_seen()[3:] == ["1", "2", "3"]


async def test_a_batch_cancelled_half_way_sends_nothing_more(valkey: ArqRedis, tmp_path: Path) -> None:
    """Each change is applied or cancelled, and the exchange saw just the applied ones."""
    async with rig_on(valkey, tmp_path) as rig, rig.working():
        batch = await rig.producer.fan_out(numbered(200), batch_id="b")
        stream = batch.results()
        await anext(stream)

        await batch.cancel()

        progress = await batch.wait(timeout=30)
        assert progress.outcomes[Outcome.CANCELLED] + progress.outcomes[Outcome.APPLIED] == 200
        assert len(rig.values_seen()) == progress.outcomes[Outcome.APPLIED] < 100
