"""The programs of README, producers' page and runbook run as written, in their order, with a real worker."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from ops.children import child_group
from ops.redis_server import embedded_valkey
from ops.stack import Stack, User, write_credentials

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "producers/README.md", "ops/runbook/redis-was-lost.md")
PROGRAMS = [
    program
    for page in PAGES
    for program in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
]
FOLLOWERS = ("1001", "1002", "1003")
WITHIN_S = 120.0


async def _run(program: str, redis_dsn: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        cwd=ROOT,
        env={**os.environ, "COPYTRADE_REDIS_DSN": redis_dsn},
        stdout=PIPE,
        stderr=PIPE,
        process_group=child_group(),
    )
    output, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return output.decode()


async def test_the_programs_of_the_readme_print_what_their_comments_promise(tmp_path: Path) -> None:
    """All eight run in order against one worker and one Redis."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in FOLLOWERS])
    with embedded_valkey() as dsn:
        async with asyncio.timeout(WITHIN_S), Stack(dsn, credentials, credentials) as stack:
            await stack.start_workers(1)
            enqueue, fan_out, poll, steer, sync, arq, read, again = [await _run(program, dsn) for program in PROGRAMS]
    assert enqueue.split() == ["applied", "00000", "success", "1"]
    *lines, total = fan_out.splitlines()
    assert sorted(lines) == [f"{follower} applied" for follower in FOLLOWERS]
    assert total == "3 of 3"
    assert "order-4711" in poll
    assert "applied" in poll
    pins = "[Pin(user_id='1001', egress='frankfurt')]"
    assert steer.splitlines() == ["['1001']", pins, "CancelReport(cancelled=0, in_flight=0, malformed=0)"]
    assert sync.split() == ["applied"]
    assert arq.split() == ["order-4712.change", "applied"]
    assert f"print(exc)  # {read.strip()}\n" in PROGRAMS[-2]
    assert again == "missing: ['order-5001'] refused: []\n"


@pytest.mark.parametrize("index", range(len(PROGRAMS)))
def test_the_programs_of_the_readme_compile(index: int) -> None:
    """Each block is valid Python by itself."""
    compile(PROGRAMS[index], f"program {index + 1}", "exec")
