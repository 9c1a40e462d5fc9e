"""The double as a process, and its command line."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from ops.children import child_group
from ops.exchange.__main__ import main
from ops.exchange.faults import KINDS
from ops.exchange.rules import SETTINGS_PATH, TIME_PATH
from tests.support.signed_requests import ALICE, body, headers

CREDENTIALS = f"""
[users.1001]
api_key = "{ALICE.api_key}"
secret_key = "{ALICE.secret_key}"
passphrase = "{ALICE.passphrase}"
"""


@pytest.fixture
def credentials(tmp_path: Path) -> str:
    path = tmp_path / "credentials.toml"
    path.write_text(CREDENTIALS)
    return f"file:{path}"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_prints_its_url_and_its_report_when_stopped(credentials: str, signum: signal.Signals) -> None:
    """The URL is the first line of stdout, the report is on stderr without keys, and the exit status is 0."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops.exchange", "--credentials", credentials, "--fault", "code:45001=1,first=1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        process_group=child_group(),
    )
    assert process.stdout is not None
    first_line = (await process.stdout.readline()).decode().strip()
    words, _, url = first_line.rpartition(" ")
    assert words == "exchange double listening on"
    async with aiohttp.ClientSession() as client:
        for expected in ("45001", "00000"):
            async with client.post(url + SETTINGS_PATH, data=body(), headers=headers(ALICE, body())) as response:
                assert (await response.json())["code"] == expected
        await client.get(url + TIME_PATH)
        process.send_signal(signum)
        _, errors = await process.communicate()
    assert process.returncode == 0
    assert "arrivals 3, accepted 2" in errors.decode()
    assert "1001" in errors.decode()
    assert "alice" not in errors.decode()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--port", "many"], "--port"),
        (["--port", "70000"], "--port"),
        (["--host", "192.0.2.1"], "--host"),
        (["--user-rate-per-s", "0"], "--user-rate-per-s"),
        (["--latency-ms", "-5"], "--latency-ms"),
        (["--egress-recovery-s", "inf"], "--egress-recovery-s"),
        (["--fault", "http_500"], "--fault"),
        (["--fault", "http_418=1"], "http_418"),
        (["--fault", "hang=2"], "--fault"),
        (["--fault", "hang=1,seconds=2"], "seconds"),
        (["--credentials", "vault:1"], "--credentials"),
        (["--credentials", "file:nowhere.toml"], "nowhere.toml"),
    ],
)
def test_a_bad_argument_ends_it_with_one_line_that_names_it(
    credentials: str, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    """The exit status is 2."""
    with pytest.raises(SystemExit) as end:
        main(["--credentials", credentials, *arguments])
    lines = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert len(lines) == 1
    assert named in lines[0]


def test_the_help_lists_every_kind_of_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"\n    {kind} " in text for kind in KINDS)
