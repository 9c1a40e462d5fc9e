"""A worker while the exchange is unreachable, keys are rejected, or credentials are slow."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.exchange import Fault
from ops.keys import KEYS
from ops.stack import User, write_credentials
from producers import JobResult, Outcome
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, USERS, Rig, rig_on
from worker.credentials.cache import CachedCredentials
from worker.credentials.file_store import FileCredentials
from worker.credentials.model import Credentials
from worker.errors import CredentialsUnavailable
from worker.process.lane_worker import LaneWorker

pytestmark = ARQ_CLOSES_OLD_STYLE

EACH = 5


async def enqueued(rig: Rig) -> list[asyncio.Task[JobResult]]:
    """Enqueue some changes of every user; return tasks that wait for their results."""
    changes = [change(user, f"t{number}") for number in range(EACH) for user in USERS]
    jobs = (await rig.producer.enqueue_many(changes)).jobs
    return [asyncio.create_task(job.result()) for job in jobs]


async def breaker_open(rig: Rig, probes: int = 0) -> None:
    """Wait until the breaker of the egress is open and so many probes have failed."""
    while int(await rig.redis.hget(KEYS.egress + "default", "openings") or 0) <= probes:  # type: ignore[misc]  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "fault",
    [Fault("outage"), Fault("outage", status=0), Fault("code:45001"), Fault("hang", ms=600)],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_an_outage_ends_no_change_and_counts_no_tries(valkey: ArqRedis, tmp_path: Path, fault: Fault) -> None:
    """Afterwards all is sent in order and within the limits."""
    async with rig_on(valkey, tmp_path, faults=[fault]) as rig:
        async with rig.working(max_tries=3, request_timeout_s=0.5):
            waiting = await enqueued(rig)
            await breaker_open(rig, probes=1)
            assert not any(task.done() for task in waiting), "an outage ended a change"
            rig.double.faults.clear()
            results = await asyncio.gather(*waiting)

        report = rig.double.ledger.report()
        assert {result.outcome for result in results} == {Outcome.APPLIED}
        assert report.throttled == 0
        assert max(user.peak_in_1s for user in report.users.values()) <= 10
        assert any(attempt.outage for result in results for attempt in result.attempts)


async def test_an_unreachable_exchange_ends_no_change(valkey: ArqRedis, tmp_path: Path) -> None:
    """Failures of an outage do not use up `max_tries`; all are applied when it is back."""
    async with rig_on(valkey, tmp_path) as rig:
        rig.double._listen = ("127.0.0.1", int(rig.double.url.rpartition(":")[2]))  # where it will be again
        settings = {"max_tries": 3, "exchange_url": rig.double.url}
        await rig.double.close()
        async with rig.working(**settings):
            waiting = await enqueued(rig)
            await breaker_open(rig)
            await rig.double.start()
            results = await asyncio.gather(*waiting)

    assert {result.outcome for result in results} == {Outcome.APPLIED}


async def test_one_rejection_of_its_keys_stops_a_user_until_they_are_replaced(valkey: ArqRedis, tmp_path: Path) -> None:
    """What is queued ends unsent; other users go on."""
    async with rig_on(valkey, tmp_path, wrong={"1001": {"api_key": "revoked-key"}}) as rig:
        results = await rig.outcome([change("1001", f"t{number}") for number in range(EACH)] + [change("1002")])
        write_credentials(tmp_path / "held.toml", [User(user) for user in USERS])
        (after,) = await rig.outcome([change("1001")])

        refused = sum(arrival.user in ("", "1001") for arrival in rig.double.ledger.arrivals if arrival.code == "40037")

    assert [result.outcome for result in results] == [Outcome.UNAUTHORIZED] * EACH + [Outcome.APPLIED]
    assert refused <= 2, "those that were under way together"
    assert after.applied


class Slow:
    """A source of credentials that is slow, or unavailable at first."""

    def __init__(self, known: FileCredentials, *, takes_s: float = 0.0, away: int = 0) -> None:
        self._known = known
        self._takes_s = takes_s
        self._away = away
        self.asked = 0

    async def get(self, user_id: str) -> Credentials:
        """Return a user's credentials."""
        self.asked += 1
        await asyncio.sleep(self._takes_s)
        if self.asked <= self._away:
            raise CredentialsUnavailable("the vault is sealed")
        return await self._known.get(user_id)


async def _with(rig: Rig, source: Slow, **changed: Any) -> list[JobResult]:
    worker: LaneWorker = rig.worker(burst=True, **changed)
    worker._credentials = CachedCredentials(source)
    jobs = (await rig.producer.enqueue_many([change(user) for user in USERS])).jobs
    try:
        await worker.async_run()
    finally:
        await worker.close()
    return [await job.result(timeout=0) for job in jobs]


async def test_a_slow_source_of_credentials_only_costs_time(valkey: ArqRedis, tmp_path: Path) -> None:
    """The session is renewed meanwhile, so no lane is lost."""
    async with rig_on(valkey, tmp_path) as rig:
        source = Slow(FileCredentials(rig.credentials.removeprefix("file:")), takes_s=2.5)
        results = await _with(rig, source, request_timeout_s=1.0, session_ttl_s=1.0)

    assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert source.asked == len(USERS)


async def test_changes_wait_while_the_source_of_credentials_is_unavailable(valkey: ArqRedis, tmp_path: Path) -> None:
    """No try is counted and nothing fails."""
    async with rig_on(valkey, tmp_path) as rig:
        source = Slow(FileCredentials(rig.credentials.removeprefix("file:")), away=len(USERS))
        results = await _with(rig, source, max_tries=1)

    assert {(result.outcome, result.tries) for result in results} == {(Outcome.APPLIED, 1)}
