"""The command line as people run it: a process of its own, on a real server, with workers and the double."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import pty
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ops.children import child_group
from ops.stack import Stack, User, write_credentials
from producers import Producer
from tests.support.copytrade import FLAGS

USERS = tuple(str(number) for number in range(1001, 1041))
WITHIN_S = 60.0
"""How long anything here may take: far longer than it does, and no assertion."""

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def stack(valkey_dsn: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A double and credentials for forty users; workers are started by the test, and stopped in any case."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    async with Stack(valkey_dsn, credentials, credentials, log_path=tmp_path / "workers.log") as stack:
        yield stack


@asynccontextmanager
async def begun(dsn: str, *words: str, stdout: int = PIPE, stderr: int = PIPE) -> AsyncIterator[Process]:
    """Start the command line in a process of its own, which ends with the body."""
    environ = {**os.environ, "COPYTRADE_REDIS_DSN": dsn, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "producers.cli", *words),
        stdout=stdout,
        stderr=stderr,
        env=environ,
        process_group=child_group(),
        preexec_fn=heed_interrupts,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def heed_interrupts() -> None:
    """Restore the handling of Ctrl-C, which background jobs ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


async def ended(process: Process, status: int = 0) -> tuple[str, str]:
    """Return what a process wrote to stdout and stderr."""
    output, errors = await process.communicate()
    assert process.returncode == status, (errors or output or b"").decode()
    return (output or b"").decode(), (errors or b"").decode()


async def printed(dsn: str, *words: str) -> str:
    """Run a command that succeeds; return its stdout."""
    async with begun(dsn, *words) as process:
        output, _ = await ended(process)
    return output


async def test_a_fan_out_waits_and_its_results_are_exported(
    stack: Stack, tmp_path: Path, followers_csv: Callable[..., str]
) -> None:
    """Every change is applied, with exactly one request per user at the exchange."""
    output = tmp_path / "results.csv"
    async with asyncio.timeout(WITHIN_S):
        await stack.start_workers(1)
        words = ("fan-out", followers_csv(*USERS), *FLAGS, "--batch-id", "july")
        shown = await printed(stack.redis_dsn, *words)
        export = ("batch", "results", "july", "--format", "csv", "--output", str(output))
        await printed(stack.redis_dsn, *export)
        watched = await printed(stack.redis_dsn, "batch", "watch", "july", "--json")
        report = await stack.report()

    rows = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines()))
    assert f"ended\t{len(USERS)} applied" in shown
    assert {(row["userId"], row["outcome"]) for row in rows} == {(user, "applied") for user in USERS}
    assert json.loads(watched.splitlines()[-1])["complete"] is True
    assert all(report["users"][user]["arrivals"] == 1 for user in USERS)


async def test_a_change_is_enqueued_and_its_result_waited_for(stack: Stack) -> None:
    """One command does both, and its JSON includes the result."""
    async with asyncio.timeout(WITHIN_S):
        await stack.start_workers(1)
        words = ("enqueue", "--user", USERS[0], *FLAGS, "--wait", "--timeout", "30", "--json")
        shown = await printed(stack.redis_dsn, *words)

    assert json.loads(shown)["result"]["outcome"] == "applied"


async def test_ctrl_c_while_waiting_leaves_the_batch_running_and_says_how_to_follow_it(
    valkey_dsn: str, followers_csv: Callable[..., str]
) -> None:
    """The exit status is 130; no worker runs, so all changes are still queued."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(valkey_dsn) as producer:
        words = ("fan-out", followers_csv(*USERS), *FLAGS, "--batch-id", "july")
        async with begun(valkey_dsn, *words) as process:
            assert process.stderr is not None
            first = await process.stderr.readline()
            process.send_signal(signal.SIGINT)
            _, errors = await ended(process, 130)
        progress = await producer.batch("july").progress()

    assert b"batch july is enqueued" in first
    assert errors == "copytrade: interrupted; the batch continues; follow it with: copytrade batch watch july\n"
    assert (progress.queued, progress.sealed) == (len(USERS), True)


async def test_ctrl_c_while_enqueueing_says_how_to_add_what_is_missing(valkey_dsn: str, tmp_path: Path) -> None:
    """The batch stays unsealed until the same command completes it."""
    many = 60_000
    path = tmp_path / "followers.csv"
    path.write_text("user_id\n" + "\n".join(map(str, range(many))) + "\n", encoding="utf-8")
    words = ("fan-out", str(path), *FLAGS, "--batch-id", "july", "--no-wait")
    async with asyncio.timeout(WITHIN_S), Producer.connect(valkey_dsn) as producer:
        async with begun(valkey_dsn, *words) as process:
            # A few replies have come by then.
            while not any(batch.total > 1000 for batch in await producer.batches()):  # noqa: ASYNC110 - the server knows
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, errors = await ended(process, 130)
        interrupted = await producer.batch("july").progress()
        shown = await printed(valkey_dsn, *words, "--json")
        progress = await producer.batch("july").progress()

    assert f"of {many:,} changes enqueued; they continue" in errors
    assert "the same command with --batch-id july adds only what is missing" in errors
    assert not interrupted.sealed
    assert 0 < interrupted.total < many
    assert json.loads(shown)["alreadyThere"] == interrupted.total
    assert (progress.total, progress.sealed) == (many, True)


async def test_on_a_terminal_a_bar_shows_the_progress(
    stack: Stack, followers_csv: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar is on standard error; standard output has only the summary."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    ours, theirs = pty.openpty()
    async with asyncio.timeout(WITHIN_S):
        await stack.start_workers(1)
        async with begun(stack.redis_dsn, "fan-out", followers_csv(*USERS), *FLAGS, stderr=theirs) as process:
            os.close(theirs)
            reading = asyncio.create_task(asyncio.to_thread(read_all, ours))
            shown, _ = await ended(process)
            bar = await reading

    assert f"{len(USERS)}/{len(USERS)}" in bar
    assert "sending" in bar
    assert f"ended\t{len(USERS)} applied" in shown


async def test_top_watches_on_a_terminal_until_ctrl_c(valkey_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is the normal end: the exit status is 0 and the screen is restored."""
    monkeypatch.setenv("TERM", "xterm-256color")
    ours, theirs = pty.openpty()
    async with asyncio.timeout(WITHIN_S), begun(valkey_dsn, "top", "--every", "0.2", stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"no worker is alive" not in shown:
            shown += await asyncio.to_thread(os.read, ours, 65536)
        process.send_signal(signal.SIGINT)
        reading = asyncio.create_task(asyncio.to_thread(read_all, ours))
        await ended(process)

    assert "\x1b[?1049l" in await reading, "the screen was not given back"


def read_all(terminal: int) -> str:
    """Return what was written to a terminal until it was closed."""
    found = b""
    try:
        while some := os.read(terminal, 65536):
            found += some
    except OSError:  # how Linux tells that the other side is closed
        pass
    finally:
        os.close(terminal)
    return found.decode(errors="replace")
