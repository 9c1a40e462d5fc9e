"""A whole worker in this process: changes in, requests at the exchange, results out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.exchange import Fault
from producers import Outcome
from tests.support.changes import change, numbered
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, USERS, WITHIN_S, rig_on
from worker.attempt import retry
from worker.process.lane_worker import LaneWorker

pytestmark = ARQ_CLOSES_OLD_STYLE


async def test_changes_are_applied_in_order_and_each_gets_its_result(redis: ArqRedis, tmp_path: Path) -> None:
    """Two users and three lanes, without a single reply of 429."""
    async with rig_on(redis, tmp_path) as rig:
        changes = [*numbered(5, "1001"), *numbered(5, "1002"), *numbered(2, "1002", "t2")]

        results = await rig.outcome(changes)

        assert [result.outcome for result in results] == [Outcome.APPLIED] * 12
        assert rig.values_seen("1001") == ["1", "2", "3", "4", "5"]
        held = rig.double.exchange.settings_for("1002")
        assert (held["t1"][0]["traceValue"], held["t2"][0]["traceValue"]) == ("5", "2")
        assert rig.double.ledger.report().throttled == 0


async def test_a_result_has_the_attempt_with_its_times_and_the_exchange_s_code(
    valkey: ArqRedis, tmp_path: Path
) -> None:
    """Enqueued, started and finished are in order; the start is that of the attempt."""
    async with rig_on(valkey, tmp_path) as rig:
        (result,) = await rig.outcome([change()])

    (attempt,) = result.attempts
    assert (result.code, result.tries, attempt.verdict, attempt.status) == ("00000", 1, "success", 200)
    assert result.started_at_ms == attempt.at_ms
    assert result.enqueued_at_ms <= attempt.at_ms <= result.finished_at_ms


async def test_a_worker_holds_no_more_connections_than_its_bound(
    valkey: ArqRedis, valkey_dsn: str, tmp_path: Path
) -> None:
    """Many lanes at once, over four connections."""
    async with rig_on(valkey, tmp_path) as rig:
        settings = rig.settings(redis_dsn=valkey_dsn, redis_connections=4)
        changes = [change(user, f"t{lane}") for user in USERS for lane in range(9)]
        jobs = (await rig.producer.enqueue_many(changes)).jobs
        before = (await valkey.info("stats"))["total_connections_received"]
        worker = LaneWorker(settings, burst=True, handle_signals=False)
        async with asyncio.timeout(WITHIN_S):
            await worker.async_run()
        await worker.close()
        opened = (await valkey.info("stats"))["total_connections_received"] - before

        assert {(await job.result(timeout=0)).outcome for job in jobs} == {Outcome.APPLIED}
        assert opened <= 4


async def test_a_change_that_fails_for_a_while_stays_the_head_of_its_lane(valkey: ArqRedis, tmp_path: Path) -> None:
    """It is sent again until it succeeds; nothing overtakes it."""
    async with rig_on(valkey, tmp_path, faults=[Fault("http_500", first=2, user="1001")]) as rig:
        results = await rig.outcome(numbered(3))

        assert [(result.outcome, result.tries) for result in results] == [
            ("applied", 3),
            ("applied", 1),
            ("applied", 1),
        ]
        assert [attempt.verdict for attempt in results[0].attempts] == ["transient", "transient", "success"]
        assert rig.values_seen() == ["1", "1", "1", "2", "3"]


async def test_a_429_holds_its_user_and_does_not_count_as_a_try(valkey: ArqRedis, tmp_path: Path) -> None:
    """Other users are not held."""
    async with rig_on(valkey, tmp_path, faults=[Fault("http_429", first=1, user="1001")]) as rig:
        mine, _, other = await rig.outcome([change("1001"), change("1001", "t2"), change("1002")])

        assert (mine.outcome, mine.tries) == (Outcome.APPLIED, 1)
        assert [attempt.verdict for attempt in mine.attempts] == ["throttled", "success"]
        assert mine.attempts[1].at_ms - mine.attempts[0].at_ms >= 1000
        assert len(other.attempts) == 1
        sent_ns = [arrival.at_ns for arrival in rig.double.ledger.arrivals if arrival.user == "1001"]
        throttled_ns = next(arrival.at_ns for arrival in rig.double.ledger.arrivals if arrival.fault == "http_429")
        assert [at_ns for at_ns in sent_ns if throttled_ns + 50_000_000 < at_ns < throttled_ns + 1_000_000_000] == []


async def test_a_retry_after_holds_its_user_for_as_long_as_the_exchange_asks(valkey: ArqRedis, tmp_path: Path) -> None:
    """Longer than our own first hold."""
    faults = [Fault("http_429", first=1, user="1001", retry_after="2")]
    async with rig_on(valkey, tmp_path, faults=faults) as rig:
        (result,) = await rig.outcome([change("1001")])

        assert [attempt.verdict for attempt in result.attempts] == ["throttled", "success"]
        assert result.attempts[1].at_ms - result.attempts[0].at_ms >= 2000


async def test_a_clock_skew_reply_corrects_the_clock_with_one_more_request(valkey: ArqRedis, tmp_path: Path) -> None:
    """Two minutes of skew; the following change needs no second attempt."""
    async with rig_on(valkey, tmp_path) as rig:
        async with rig.working() as _:
            assert (await (await rig.producer.enqueue(change(value="1"))).result()).applied
            rig.double.clock.skew_ms = 120_000
            skewed = await (await rig.producer.enqueue(change(value="2"))).result()
            following = await (await rig.producer.enqueue(change(value="3"))).result()

        assert [attempt.verdict for attempt in skewed.attempts] == ["clock_skew", "success"]
        assert [attempt.verdict for attempt in following.attempts] == ["success"]


async def test_a_wrong_clock_at_the_start_costs_no_request(valkey: ArqRedis, tmp_path: Path) -> None:
    """The worker reads the exchange's time before it sends."""
    async with rig_on(valkey, tmp_path) as rig:
        rig.double.clock.skew_ms = -300_000

        (result,) = await rig.outcome([change()])

        assert [attempt.verdict for attempt in result.attempts] == ["success"]


async def test_a_change_of_a_user_without_credentials_ends_unauthorized_and_unsent(
    valkey: ArqRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The message names the user and the remedy; the log line has it without a place for the code."""
    async with rig_on(valkey, tmp_path, unknown=["1002"]) as rig:
        unknown, known = await rig.outcome([change("1002"), change("1001")])

        assert (unknown.outcome, unknown.attempts, unknown.started_at_ms) == (Outcome.UNAUTHORIZED, [], None)
        assert "no credentials for user '1002'" in unknown.message
        assert known.applied
        assert rig.values_seen("1002") == []
        assert " ended unauthorized: not sent: no credentials" in caplog.text


@pytest.mark.parametrize("field", ["api_key", "secret_key", "passphrase"])
async def test_credentials_that_the_exchange_rejects_end_the_change_unauthorized_after_one_request(
    valkey: ArqRedis, tmp_path: Path, field: str
) -> None:
    """A wrong key, secret or passphrase; another user is not affected."""
    async with rig_on(valkey, tmp_path, wrong={"1002": {field: "wrong"}}) as rig:
        refused, other = await rig.outcome([change("1002"), change("1001")])

    assert refused.outcome is Outcome.UNAUTHORIZED
    assert refused.code in ("40006", "40009", "40012", "40037")
    assert len(refused.attempts) == 1
    assert other.applied


async def test_five_replies_with_data_fail_reject_a_change(
    valkey: ArqRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code 00000 is not success when its data says "fail"."""
    monkeypatch.setattr(retry, "BACKOFF", retry.Backoff(0, 0, 0))
    async with rig_on(valkey, tmp_path, faults=[Fault("fail", first=5, user="1001")]) as rig:
        failed, following = await rig.outcome(numbered(2))

    assert (failed.outcome, failed.tries) == (Outcome.REJECTED, 5)
    assert {attempt.verdict for attempt in failed.attempts} == {"failed"}
    assert following.applied


async def test_a_change_that_the_exchange_rejects_ends_rejected_with_its_code(valkey: ArqRedis, tmp_path: Path) -> None:
    """It is not retried, and the exchange's message is kept."""
    async with rig_on(valkey, tmp_path, faults=[Fault("code:40034", first=1, user="1001")]) as rig:
        (result,) = await rig.outcome([change()])

    assert (result.outcome, result.code, result.tries) == (Outcome.REJECTED, "40034", 1)
    assert result.message


@pytest.mark.parametrize("fault", ["unsolicited", "big_head", "bom", "utf_16", "gzip", "x_gzip"])
async def test_an_odd_reply_is_read(valkey: ArqRedis, tmp_path: Path, fault: str) -> None:
    """One request is enough. The next change is answered by its own reply."""
    refusal = Fault("code:40034", first=1, user="1001")
    async with rig_on(valkey, tmp_path, faults=[Fault(fault, first=1, user="1001"), refusal]) as rig:
        first, second = await rig.outcome([change(), change(value="2")])

        assert (first.outcome, first.tries) == (Outcome.APPLIED, 1)
        assert (second.outcome, second.code, second.tries) == (Outcome.REJECTED, "40034", 1)
        assert rig.values_seen() == ["1", "2"]


@pytest.mark.parametrize("fault", ["reset_after", "cut", "empty", "stale"])
async def test_a_malformed_reply_leads_to_another_request(valkey: ArqRedis, tmp_path: Path, fault: str) -> None:
    """At least once towards the exchange: sending the same settings twice is harmless."""
    async with rig_on(valkey, tmp_path, faults=[Fault(fault, first=1, user="1001")]) as rig:
        (result,) = await rig.outcome([change()])

        assert (result.outcome, result.tries) == (Outcome.APPLIED, 2)
        assert rig.values_seen() == ["1", "1"]


async def test_a_change_whose_deadline_passed_unsent_ends_expired(valkey: ArqRedis, tmp_path: Path) -> None:
    """It is not sent; a change of another user is."""
    async with rig_on(valkey, tmp_path) as rig:
        job = await rig.producer.enqueue(change(), ttl_s=0.001)
        other = await rig.producer.enqueue(change("1002"))
        await rig.drain()

        assert (await job.result(timeout=0)).outcome is Outcome.EXPIRED
        assert (await other.result(timeout=0)).applied
        assert rig.values_seen() == []


async def test_a_change_that_never_gets_a_verdict_ends_exhausted_at_its_deadline(
    valkey: ArqRedis, tmp_path: Path
) -> None:
    """The deadline bounds it, not the number of tries."""
    async with rig_on(valkey, tmp_path, faults=[Fault("http_500", user="1001")]) as rig:
        job = await rig.producer.enqueue(change(), ttl_s=1.5)
        await rig.drain()
        result = await job.result(timeout=0)

    assert result.outcome is Outcome.EXHAUSTED
    assert result.tries >= 2
    assert result.finished_at_ms <= result.enqueued_at_ms + 1500 + 1000


async def test_a_change_ends_exhausted_at_its_last_try(valkey: ArqRedis, tmp_path: Path) -> None:
    """Only if `max_tries` sets a bound; here it is two."""
    async with rig_on(valkey, tmp_path, faults=[Fault("http_500", user="1001")]) as rig:
        (result,) = await rig.outcome([change()], max_tries=2)

    assert (result.outcome, result.tries) == (Outcome.EXHAUSTED, 2)


async def test_the_exchange_sees_at_most_ten_requests_of_a_user_in_a_second(valkey: ArqRedis, tmp_path: Path) -> None:
    """Over several lanes, retries included."""
    async with rig_on(valkey, tmp_path, faults=[Fault("http_502", first=3, user="1001")]) as rig:
        await rig.outcome([change("1001", f"t{number}") for number in range(25)])

        report = rig.double.ledger.report()
        assert report.users["1001"].peak_in_1s <= 10
        assert report.throttled == 0
        assert report.users["1001"].arrivals == 28
