"""Sealed credentials in use: the command line sets them, worker processes use them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from arq.connections import ArqRedis

from ops.children import child_group
from ops.stack import Stack, User, write_credentials
from producers import Outcome, Producer
from tests.support.changes import change
from tests.support.redis_dump import dump

ROOT = Path(__file__).parents[2]
USERS = [str(1001 + number) for number in range(5)]
WITHIN_S = 60.0
COPYTRADE = (
    "from producers.cli.root import root; from worker.credentials.command import credentials;"
    " root.add_command(credentials); root()"
)
"""The command line with the commands that an installed package joins."""


async def copytrade(environ: dict[str, str], *words: str, stdin: bytes = b"") -> str:
    """Run a command that succeeds; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COPYTRADE, "credentials", *words),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        process_group=child_group(),
    )
    output, errors = await asyncio.wait_for(process.communicate(stdin), WITHIN_S)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_keys_that_the_command_line_sealed_sign_requests_through_a_rotation(
    valkey: ArqRedis, valkey_dsn: str, tmp_path: Path
) -> None:
    """A worker runs meanwhile; no secret is left anywhere."""
    ring, log_path = tmp_path / "ring", tmp_path / "worker.log"
    ring.touch(mode=0o600)
    environ = {"COPYTRADE_REDIS_DSN": valkey_dsn, "COPYTRADE_CREDENTIALS_KEYS": f"file:{ring}"}
    known = write_credentials(tmp_path / "known.toml", [User(user) for user in USERS])
    given = [
        {"userId": user, "apiKey": f"key-{user}", "secretKey": f"secret-{user}", "passphrase": f"pass-{user}"}
        for user in USERS
    ]
    old, new = [(await copytrade(environ, "new-key", "--id", key_id)).strip() for key_id in ("old", "new")]
    ring.write_text(f"{old}\n{new}\n")

    said = await copytrade(environ, "set", "--from-stdin", stdin="\n".join(map(json.dumps, given)).encode())
    stack = Stack(valkey_dsn, "redis:", known, environ=environ | {"COPYTRADE_LOG_LEVEL": "DEBUG"}, log_path=log_path)
    async with stack, Producer.connect(valkey_dsn) as producer, asyncio.timeout(WITHIN_S):
        outcomes = []
        await stack.start_workers()
        for step in ("before", "between", "after"):
            if step == "between":
                ring.write_text(f"{new}\n{old}\n")
                said += await copytrade(environ, "rotate")
            if step == "after":
                ring.write_text(f"{new}\n")
                await stack.start_workers()
            jobs = [await producer.enqueue(change(user, f"{step}{n}")) for user in USERS for n in range(3)]
            outcomes += [(await job.result(timeout=WITHIN_S)).outcome for job in jobs]
        said += await copytrade(environ, "list") + await copytrade(environ, "rotate", "--check")

    assert outcomes == [Outcome.APPLIED] * 45
    told = said + await dump(valkey) + log_path.read_text(encoding="utf-8")
    assert "5 sealed again with new" in said
    for secret in [
        *(entry.partition(":")[2] for entry in (old, new)),
        *(f"{k}-{u}" for k in ("key", "secret", "pass") for u in USERS),
    ]:
        assert secret not in told
