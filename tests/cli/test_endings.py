"""How a process of the command line ends: streams that are closed or full, signals, and whatever hangs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPYTRADE = f"{sys.executable} -m producers.cli"
WITHIN_S = 30
"""How long anything here may take: far longer than it does, and no assertion."""

HUNG_RESOLVER = """
import os, socket, time
def hang(*_, **__):
    os.write(2, b"resolving\\n")
    time.sleep(3600)
socket.getaddrinfo = hang
from producers.cli import main
main()
"""


def in_shell(command: str, dsn: str = "") -> subprocess.CompletedProcess[str]:
    """Run a line of a shell at the top of the repository."""
    environ = {**os.environ, **({"COPYTRADE_REDIS_DSN": dsn} if dsn else {})}
    return subprocess.run(  # noqa: S603 - our own program
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
    )


@contextmanager
def begun(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Start Python with these words; it ends with the body."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads here
    )
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("paused >&-", 0),
        ("paused 2>&-", 0),
        ("paused <&- >&- 2>&-", 0),
        ("paused --json >&-", 0),
        ("--help >&-", 0),
        ("status nobody 2>&-", 4),
        ("fan-out - --trader t1 <&-", 2),
    ],
)
def test_a_closed_stream_is_like_the_null_device(valkey_dsn: str, command: str, status: int) -> None:
    """The connection to Redis does not get its number, and there is no traceback."""
    run = in_shell(f"{COPYTRADE} {command}", valkey_dsn)

    assert run.returncode == status
    assert "Traceback" not in run.stderr
    assert ("<stdin>: the file contains no followers" in run.stderr) == ("fan-out -" in command)


@pytest.mark.parametrize("command", ["paused", "paused --json", "--help", "schema"])
def test_an_output_that_cannot_be_written_is_one_line(valkey_dsn: str, command: str) -> None:
    """As on a full disk. If the errors cannot be written either, only the exit status tells."""
    run = in_shell(f"{COPYTRADE} {command} >/dev/full", valkey_dsn)
    silent = in_shell(f"{COPYTRADE} {command} >/dev/full 2>/dev/full", valkey_dsn)

    assert (run.returncode, silent.returncode) == (1, 1)
    assert "the output cannot be written: No space left on device" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_pipe_that_is_closed_early_has_the_status_of_sigpipe(
    followers_csv: Callable[..., str], settings_file: str
) -> None:
    """Without a line on standard error, as in `copytrade ... | head -n 1`."""
    path = followers_csv(*map(str, range(5000)))
    words = ("-m", "producers.cli", "fan-out", path, "--settings", settings_file, "--dry-run", "--json")
    with begun(*words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(WITHIN_S)

    assert (process.returncode, errors) == (141, "")


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_whose_resolver_hangs(
    signum: signal.Signals, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call cannot be cancelled, and nobody waits for its thread."""
    monkeypatch.setenv("COPYTRADE_REDIS_TIMEOUT_S", "3600")
    with begun("-c", HUNG_RESOLVER, "paused", "--redis", "redis://nowhere.invalid:1") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "resolving\n"
        process.send_signal(signum)
        _, errors = process.communicate(timeout=WITHIN_S)

    assert (process.returncode, errors.strip()) == (status, "copytrade: interrupted")


def test_a_command_whose_resolver_hangs_ends_within_its_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit status is that of a Redis that does not answer."""
    monkeypatch.setenv("COPYTRADE_REDIS_TIMEOUT_S", "0.2")
    with begun("-c", HUNG_RESOLVER, "paused", "--redis", "redis://nowhere.invalid:1") as process:
        _, errors = process.communicate(timeout=WITHIN_S)

    assert process.returncode == 3
    assert "Redis did not answer" in errors


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_whose_redis_hangs(
    signum: signal.Signals, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts the connection and never answers; the timeout is far away."""
    monkeypatch.setenv("COPYTRADE_REDIS_TIMEOUT_S", "3600")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(WITHIN_S)
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with begun("-m", "producers.cli", "paused", "--redis", address) as process:
            connection, _ = silent.accept()
            process.send_signal(signum)
            _, errors = process.communicate(timeout=WITHIN_S)
            connection.close()

    assert (process.returncode, errors.strip()) == (status, "copytrade: interrupted")


def test_sigterm_ends_a_background_job_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell starts it with SIGINT ignored, and it stays so."""
    monkeypatch.setenv("COPYTRADE_REDIS_TIMEOUT_S", "3600")
    command = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + HUNG_RESOLVER
    with begun("-c", command, "paused", "--redis", "redis://nowhere.invalid:1") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "resolving\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=WITHIN_S)

    assert (process.returncode, errors.strip()) == (143, "copytrade: interrupted")
