"""Stopping: what is in flight ends, what waits is put back at once, and the exit status is 0."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from ops.redis_server import Valkey
from ops.stack import Stack, User, write_credentials
from producers import Job, Producer
from tests.acceptance.conftest import USERS, WITHIN_S
from tests.support.changes import change, numbered
from tests.support.sealed_keys import OLD

SIGNALS = [signal.SIGTERM, signal.SIGINT]

STOPS_WITHIN_S = 20.0
"""Twice the promise of ops/GUARANTEES.md, for a slow machine. A wait for all of Redis's replies took 26 s."""

HUNG_RESOLVER = """
import os, socket, sys, time
def hang(*_, **__):
    os.write(2, b"resolving\\n")
    time.sleep(3600)
socket.getaddrinfo = hang
from worker.process.main import main
sys.exit(main([]))
"""


async def stopped(process: Process, signum: signal.Signals) -> int:
    process.send_signal(signum)
    return await process.wait()


@pytest.mark.parametrize("signum", SIGNALS)
async def test_a_stopped_worker_gives_its_lanes_back_at_once_and_another_goes_on(
    stack: Stack, valkey: ArqRedis, signum: signal.Signals
) -> None:
    """What is in flight is settled by the worker that sent it."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        await stack.set_faults({"kind": "latency", "ms": 300})
        (worker,) = await stack.start_workers(1, COPYTRADE_SESSION_TTL_S="3600")
        lanes = (await producer.enqueue_many(change(user, value=str(n)) for n in (1, 2, 3) for user in USERS[:20])).jobs
        await lanes[0].result()

        status = await stopped(worker, signum)
        held, sessions = await valkey.keys(KEYS.held + "*"), await valkey.hkeys(KEYS.sessions)  # type: ignore[misc]
        await stack.start_workers(1)
        results = await asyncio.gather(*(job.result() for job in lanes))

    assert status == 0
    assert (held, sessions) == ([], [b"clock"]), "a lane still waits for the end of a session"
    assert all(result.applied and len(result.attempts) == 1 for result in results)
    assert (await stack.report())["users"][USERS[0]]["arrivals"] == 3


@pytest.mark.parametrize("signum", SIGNALS)
async def test_an_idle_worker_stops(stack: Stack, signum: signal.Signals) -> None:
    """It has nothing in flight, and exits with status 0."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        (worker,) = await stack.start_workers(1)
        await (await producer.enqueue(change())).result()

        assert await stopped(worker, signum) == 0


@pytest.mark.parametrize("signum", SIGNALS)
async def test_a_worker_whose_resolver_hangs_stops_too(signum: signal.Signals) -> None:
    """The call cannot be cancelled, and nobody waits for its thread."""
    environ = {**os.environ, "COPYTRADE_REDIS_DSN": "redis://nowhere.invalid:1", "COPYTRADE_REDIS_TIMEOUT_S": "0.5"}
    ring = {"COPYTRADE_CREDENTIALS": "redis:", "COPYTRADE_CREDENTIALS_KEYS": OLD}
    async with asyncio.timeout(WITHIN_S):
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HUNG_RESOLVER, env=environ | ring, stderr=asyncio.subprocess.PIPE
        )
        assert worker.stderr is not None
        assert await worker.stderr.readline() == b"resolving\n"
        worker.send_signal(signum)
        await worker.communicate()

    assert worker.returncode == 0


async def test_a_worker_stops_soon_although_redis_is_away(tmp_path: Path, log_path: Path) -> None:
    """The worst case: Redis accepts connections and does not answer, and requests are under way."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    with Valkey(tmp_path / "redis") as server:
        async with (
            asyncio.timeout(WITHIN_S),
            Stack(server.dsn, credentials, credentials, log_path=log_path) as stack,
            Producer.connect(server.dsn) as producer,
        ):
            await stack.set_faults({"kind": "latency", "ms": 4000})
            (worker,) = await stack.start_workers(1)
            await producer.enqueue_many(map(change, USERS))
            while (await stack.report())["arrivals"] < len(USERS):  # noqa: ASYNC110 - polls another process
                await asyncio.sleep(0.05)
            server.freeze()
            try:
                async with asyncio.timeout(STOPS_WITHIN_S):
                    status = await stopped(worker, signal.SIGTERM)
            finally:
                server.thaw()

    assert status == 0
    assert "Redis is away" in written(log_path)


async def test_several_processes_under_one_start_and_stop_together(stack: Stack, valkey: ArqRedis) -> None:
    """SIGTERM to the parent ends all children; none keeps a connection to Redis."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        (parent,) = await stack.start_workers(1, "--processes", "2", COPYTRADE_REDIS_TIMEOUT_S="5")
        jobs = (await producer.enqueue_many(change(user) for user in USERS)).jobs
        results = await asyncio.gather(*(job.result() for job in jobs))
        while len(await blocked(valkey)) < 2:  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.05)

        assert await stopped(parent, signal.SIGTERM) == 0
        assert all(result.applied for result in results)
        assert await blocked(valkey) == [], "a child is still connected"


def written(log_path: Path) -> str:
    return log_path.read_text(encoding="utf-8")


async def blocked(valkey: ArqRedis) -> list[str]:
    """Return how many clients wait for a wake-up: one for each worker process."""
    return [client["id"] for client in await valkey.client_list() if client["cmd"] == "blpop"]


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["one", "two"])
async def test_a_burst_ends_when_nothing_is_queued(stack: Stack, options: tuple[str, ...]) -> None:
    """Every change is applied, and the exit status is 0, with one process or two."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        jobs: list[Job] = (await producer.enqueue_many([*numbered(3), *numbered(3, "1002")])).jobs

        (worker,) = await stack.start_workers(1, "--burst", *options)

        assert await worker.wait() == 0
        assert all([(await job.result(timeout=0)).applied for job in jobs])


async def test_a_burst_with_nothing_to_do_ends_at_once(stack: Stack) -> None:
    """The exit status is 0 for an empty queue."""
    async with asyncio.timeout(WITHIN_S):
        (worker,) = await stack.start_workers(1, "--burst")

        assert await worker.wait() == 0


async def test_workers_whose_parent_is_killed_stop_by_themselves(stack: Stack, valkey: ArqRedis) -> None:
    """They finish what is in flight and put the rest back."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
        await stack.set_faults({"kind": "latency", "ms": 300})
        (parent,) = await stack.start_workers(1, "--processes", "2", COPYTRADE_SESSION_TTL_S="3600")
        jobs = (await producer.enqueue_many(change(user, value=str(n)) for n in (1, 2, 3) for user in USERS[:20])).jobs
        await jobs[0].result()

        parent.kill()
        await parent.wait()
        while await blocked(valkey):  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.05)
        await stack.start_workers(1)
        results = await asyncio.gather(*(job.result() for job in jobs))

    assert all(result.applied and len(result.attempts) == 1 for result in results)


async def loaded(process: Process, module: str) -> None:
    """Wait until a process has loaded a compiled module: it is importing, past its first lines."""
    while module not in (Path("/proc") / str(process.pid) / "maps").read_text():  # noqa: ASYNC110 - only the system knows
        await asyncio.sleep(0.002)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="how far a process has come is seen in /proc only")
@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["one", "two"])
@pytest.mark.parametrize("module", ["_asyncio", "msgspec", "multidict"])
async def test_an_early_ctrl_c_ends_a_worker_without_a_traceback(
    stack: Stack, log_path: Path, module: str, options: tuple[str, ...]
) -> None:
    """During its imports the signal ends the process; later the worker stops normally with status 0."""
    async with asyncio.timeout(WITHIN_S):
        (worker,) = await stack.start_workers(1, *options)
        await loaded(worker, module)

        status = await stopped(worker, signal.SIGINT)

    assert status in (0, -signal.SIGINT)
    assert "Traceback" not in written(log_path)
