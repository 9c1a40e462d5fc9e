"""Other arq apps in the same database, and apps that have only arq, with real workers of both."""

from __future__ import annotations

import asyncio
import signal

import msgspec
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.jobs import Job

from ops.stack import Stack
from producers import Outcome
from tests.acceptance.conftest import USERS, WITHIN_S, Run
from tests.support.arq_app import as_arq_app
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE

pytestmark = ARQ_CLOSES_OLD_STYLE

JOBS = 40
TAKEN_OVER_WITHIN_S = 45
"""Three times the promise of ops/GUARANTEES.md, for a slow machine. arq alone would take 300 s."""

OTHER_APP = f"""
import asyncio, sys
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker


async def mail(ctx, number):
    await ctx["redis"].incr("other:done")
    return number


async def main():
    settings = RedisSettings.from_dsn(sys.argv[1])
    redis = await create_pool(settings)
    worker = Worker([mail], redis_settings=settings, poll_delay=0.05, handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    jobs = [await redis.enqueue_job("mail", number) for number in range({JOBS})]
    print(sorted([await job.result(timeout=30, poll_delay=0.05) for job in jobs]) == list(range({JOBS})))
    while not await redis.exists("other:stop"):
        await asyncio.sleep(0.05)
    print(worker.jobs_complete, worker.jobs_failed, await redis.zcard("arq:queue"))
    running.cancel()


asyncio.run(main())
"""
"""An app with arq's default queue and serialiser, and its worker."""


async def submit(valkey: ArqRedis) -> list[Job]:
    jobs = [
        await valkey.enqueue_job("submit", msgspec.to_builtins(change(user)), _job_id=f"order-{user}") for user in USERS
    ]
    return [job for job in jobs if job is not None]


async def answers(jobs: list[Job]) -> list[str]:
    return [(await job.result(poll_delay=0.05))["jobId"] for job in jobs]


async def held(valkey: ArqRedis) -> list[bytes]:
    """Return the keys of the control jobs that a worker has in its hands."""
    found: list[bytes] = await valkey.keys(f"{in_progress_key_prefix}*")
    return found


async def test_another_arq_app_in_the_same_database_and_ours_each_do_their_own_jobs(
    stack: Stack, valkey: ArqRedis, run: Run
) -> None:
    """Both workers poll all the time: 40 jobs of theirs, 40 changes of ours."""
    async with asyncio.timeout(WITHIN_S):
        await stack.start_workers(1)
        other = asyncio.ensure_future(run(OTHER_APP, stack.redis_dsn))
        while not await valkey.exists("other:done"):  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.05)
        jobs = await submit(as_arq_app(valkey))
        changes = [Job(job_id, valkey, _deserializer=valkey.job_deserializer) for job_id in await answers(jobs)]
        for job in changes:
            while (info := await job.result_info()) is None:  # noqa: ASYNC110 - only the server knows
                await asyncio.sleep(0.05)
            assert info.result["outcome"] == Outcome.APPLIED
        await valkey.set("other:stop", 1)
        output = await other

    assert len(changes) == len(USERS)
    assert output.split() == ["True", f"{JOBS}", "0", "0"]


async def test_a_submit_job_in_the_hands_of_a_killed_worker_is_done_by_another(stack: Stack, valkey: ArqRedis) -> None:
    """Its change is accepted once."""
    async with asyncio.timeout(WITHIN_S):
        (worker,) = await stack.start_workers(1)
        jobs = await submit(as_arq_app(valkey))
        while not await held(valkey):
            worker.send_signal(signal.SIGCONT)
            while not await held(valkey):
                pass
            worker.send_signal(signal.SIGSTOP)
        worker.kill()
        await worker.wait()
        assert await held(valkey)
        await stack.start_workers(1)

        async with asyncio.timeout(TAKEN_OVER_WITHIN_S):
            accepted = await answers(jobs)

    assert accepted == [f"order-{user}.change" for user in USERS]
