"""The example on raw Redis follows the page of the wire, with a real worker and nothing of Python."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.children import child_group
from ops.stack import Stack
from tests.acceptance.conftest import WITHIN_S
from tests.support.node import NODE, NPM, needs_node

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "ops" / "examples" / "raw-redis"
PAGE = ROOT / "producers" / "contract" / "WIRE.md"


async def _run(folder: Path, *command: str, **environ: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **environ},
        stdout=PIPE,
        stderr=PIPE,
        process_group=child_group(),
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return output.decode()


@pytest.fixture
async def narrow_dsn(valkey: ArqRedis, valkey_dsn: str) -> AsyncIterator[str]:
    """The server's DSN with a user that has no more rights than the page says."""
    (rights,) = re.findall(r"^user myapp (.+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    await valkey.execute_command("ACL", "SETUSER", "myapp", *rights.split())  # type: ignore[no-untyped-call]
    yield valkey_dsn.replace("://", "://myapp:CHANGE-myapp@")
    await valkey.execute_command("ACL", "DELUSER", "myapp")  # type: ignore[no-untyped-call]


@needs_node
async def test_the_example_on_raw_redis_prints_the_results_of_its_changes(
    stack: Stack, narrow_dsn: str, tmp_path: Path
) -> None:
    """Two changes of each of two users, in their order; then a batch that is complete."""
    assert NODE
    assert NPM
    folder = tmp_path / "raw-redis"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    async with asyncio.timeout(2 * WITHIN_S):
        await stack.start_workers(2)
        await _run(folder, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        output = await _run(folder, NODE, "raw_redis.mjs", "1001", "1002", COPYTRADE_REDIS_DSN=narrow_dsn)

    *results, batch = map(json.loads, output.splitlines())
    assert Counter(result["userId"] for result in results) == {"1001": 2, "1002": 2}
    assert {result["outcome"] for result in results} == {"applied"}
    assert all(result["jobId"].startswith(f"{batch['batch']}..") for result in results)
    assert (batch["total"], batch["finished"], batch["entries"]) == ("4", "4", 4)
    sent = [(arrival["user"], arrival["values"]) for arrival in await stack.arrivals()]
    assert [values for user, values in sent if user == "1001"] == [["330"], ["340"]]
