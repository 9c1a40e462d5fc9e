"""Starting with a mistake: one line that names it, and exit status 2."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from ops.redis_server import Valkey, free_port
from ops.stack import Stack
from producers import Producer
from tests.acceptance.conftest import WITHIN_S
from tests.support.changes import change

WRONG = {
    "COPYTRADE_REDIS_DSN": "http://localhost",
    "COPYTRADE_EXCHANGE_URL": "ftp://exchange",
    "COPYTRADE_CREDENTIALS": "vault:somewhere",
    "COPYTRADE_USER_RATE_PER_S": "-1",
    "COPYTRADE_EGRESS_RATE_PER_S": "many",
    "COPYTRADE_MAX_JOBS": "0",
    "COPYTRADE_SESSION_TTL_S": "0.1",
    "COPYTRADE_LOG_LEVEL": "LOUD",
    "COPYTRADE_CHANGE_TTL_S": "0",
}


def lines_of(log_path: Path) -> list[str]:
    return log_path.read_text(encoding="utf-8").splitlines()


def opened_to_others(credentials: str, mode: int) -> Path:
    """Return the credentials file with another mode."""
    path = Path(credentials.removeprefix("file:"))
    path.chmod(mode)
    return path


async def ended(stack: Stack, log_path: Path, *options: str, **environ: str) -> tuple[int, list[str]]:
    """Return a worker's exit status and the lines that it wrote."""
    (worker,) = await stack.start_workers(1, *options, **environ)
    async with asyncio.timeout(WITHIN_S):
        status = await worker.wait()
    return status, lines_of(log_path)


@pytest.mark.parametrize("variable", WRONG)
async def test_an_invalid_variable_stops_the_start_with_one_line_that_names_it(
    stack: Stack, log_path: Path, variable: str
) -> None:
    """Exit status 2, without a traceback."""
    status, lines = await ended(stack, log_path, **{variable: WRONG[variable]})

    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"worker: {variable}: ")


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["one", "two"])
@pytest.mark.parametrize(
    ("config", "begins", "problem"),
    [
        ("requirepass hush", "redis://:nope@", "Redis rejected the user or password ("),
        ("requirepass hush", "redis://", "Redis requires a password, and got none ("),
        ("appendonly yes", "redis+cluster://", "this Redis is not in cluster mode ("),
        (
            "cluster-enabled yes",
            "redis://",
            "this Redis is in cluster mode; name its nodes in COPYTRADE_REDIS_DSN: redis+cluster://",
        ),
    ],
)
async def test_a_redis_that_will_never_serve_a_worker_stops_the_start(
    stack: Stack, log_path: Path, tmp_path: Path, options: tuple[str, ...], config: str, begins: str, problem: str
) -> None:
    """Exit status 2 and one line of each process, without a traceback and without a restart."""
    # by default the cluster's own port is 10,000 above the server's, where there may be none
    with Valkey(tmp_path / "redis", [config, f"cluster-port {free_port()}"]) as server:
        dsn = server.dsn.removesuffix("/0").replace("redis://", begins)
        status, lines = await ended(stack, log_path, *options, COPYTRADE_REDIS_DSN=dsn)

    assert status == 2
    assert len(lines) == (2 if options else 1)
    assert [line for line in lines if not line.startswith(f"worker: COPYTRADE_REDIS_DSN: {problem}")] == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
async def test_credentials_that_others_can_read_stop_the_start(stack: Stack, log_path: Path, mode: int) -> None:
    """The line names the file and shows none of its content."""
    path = opened_to_others(stack.credentials, mode)

    status, lines = await ended(stack, log_path)

    assert status == 2
    assert len(lines) == 1
    assert str(path) in lines[0]
    assert "secret" not in lines[0].replace(str(path), "")


async def test_a_misspelt_variable_is_named_in_the_log(stack: Stack, log_path: Path) -> None:
    """It has no effect, so the start continues; only the warning reveals the mistake. The gateway's are known."""
    variables = {"COPYTRADE_USER_RATES": "5", "COPYTRADE_GATEWAY_AUTH": "false"}
    status, lines = await ended(stack, log_path, "--burst", **variables)

    assert status == 0
    (warning,) = [line for line in lines if "COPYTRADE_USER_RATES is not a setting" in line]
    assert warning.endswith("; did you mean COPYTRADE_USER_RATE_PER_S?")
    assert not any("COPYTRADE_GATEWAY_AUTH" in line for line in lines)


async def test_the_lease_of_earlier_versions_is_ignored_and_named_with_what_replaced_it(
    stack: Stack, log_path: Path
) -> None:
    """One warning; the start continues."""
    status, lines = await ended(stack, log_path, "--burst", COPYTRADE_LEASE_S="8")

    assert status == 0
    (warning,) = [line for line in lines if "COPYTRADE_LEASE_S" in line]
    assert " WARNING " in warning
    assert "COPYTRADE_LEASE_S is ignored" in warning
    assert "COPYTRADE_SESSION_TTL_S" in warning


async def test_a_redis_that_evicts_or_forgets_is_reported_in_the_log(
    stack: Stack, log_path: Path, valkey: ArqRedis
) -> None:
    """The warnings do not stop the worker: the queued change is still applied."""
    await valkey.config_set("maxmemory-policy", "allkeys-lru")
    try:
        async with Producer.connect(stack.redis_dsn) as producer:
            job = await producer.enqueue(change())
            status, lines = await ended(stack, log_path, "--burst")
            assert (await job.result(timeout=0)).applied
    finally:
        await valkey.config_set("maxmemory-policy", "noeviction")

    assert status == 0
    assert any("maxmemory-policy is allkeys-lru" in line for line in lines)
    assert any("appendonly is off" in line for line in lines)


async def test_a_number_of_processes_below_one_is_rejected(stack: Stack, log_path: Path) -> None:
    """The command line rejects it with exit status 2 and names the minimum."""
    status, lines = await ended(stack, log_path, "--processes", "0")

    assert status == 2
    assert "--processes: must be a whole number, 1 or more; got" in lines[-1]


@pytest.mark.parametrize("variable", ["COPYTRADE_CREDENTIALS", "COPYTRADE_REDIS_DSN"])
async def test_processes_that_cannot_start_are_not_restarted(stack: Stack, log_path: Path, variable: str) -> None:
    """The parent exits with the same line and exit status 2 as a single worker."""
    status, lines = await ended(stack, log_path, "--processes", "2", **{variable: WRONG[variable]})

    assert status == 2
    assert f"worker: {variable}: " in "\n".join(lines)


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["one", "two"])
async def test_a_queue_of_an_earlier_version_stops_the_start(
    stack: Stack, log_path: Path, valkey: ArqRedis, options: tuple[str, ...]
) -> None:
    """Exit status 2 and one line of each process, which names the command that moves the queue."""
    await valkey.zadd(KEYS.old_schedule, {"1001:t1": 1})

    status, lines = await ended(stack, log_path, *options)

    assert status == 2
    refusals = [line for line in lines if " WARNING " not in line]  # of Redis's configuration
    assert len(refusals) == (2 if options else 1)
    assert [line for line in refusals if "copytrade migrate" not in line] == []
