"""Servers that are started with the configuration and the secrets of ops/deploy."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.redis_server import Valkey
from producers import CheckStatus, JobState, Producer, ProducerSettings, diagnose
from tests.support.changes import change
from tests.support.deploy import DEPLOY, configuration

WITHIN_S = 30.0
PASSWORDS = {"CHANGE-replica": "r", "CHANGE-sentinels": "s", "CHANGE-sentinel": "t", "CHANGE-watcher": "w"}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What `secrets.sh` makes, in a copy of the folders that it reads."""
    folder = tmp_path / "ops" / "deploy"
    folder.mkdir(parents=True)
    shutil.copy(DEPLOY / "secrets.sh", folder)
    shutil.copy(DEPLOY.parent / "redis.acl", folder.parent)
    for _ in range(2):  # the second run changes nothing
        subprocess.run(["/bin/sh", "secrets.sh"], cwd=folder, check=os.getuid() == 0, capture_output=True)
    return folder / "secrets"


def configured(name: str) -> list[str]:
    """Return the lines of a configuration, with the passwords of a test."""
    text = "\n".join(configuration(DEPLOY / name))
    for placeholder, password in PASSWORDS.items():
        text = text.replace(placeholder, password)
    return text.splitlines()


@pytest.fixture
def server(tmp_path: Path, secrets: Path) -> Iterator[Valkey]:
    """A server with valkey.conf and the users of the secrets."""
    config = [*configured("valkey.conf"), f"aclfile {secrets / 'users.acl'}"]
    with Valkey(tmp_path / "valkey", config) as running:
        yield running


@pytest.fixture
def watched(tmp_path: Path, secrets: Path) -> Iterator[str]:
    """A master, a replica and a sentinel, with the files of `sentinel/`; the value is a producer's DSN."""
    acl = tmp_path / "users.acl"
    acl.write_text(
        "\n".join([(secrets / "users.acl").read_text(encoding="utf-8"), *configured("sentinel/users.acl")]) + "\n"
    )
    config = [*configured("valkey.conf"), *configured("sentinel/replicated.conf"), f"aclfile {acl}"]
    master = Valkey(tmp_path / "master", [*config, "repl-diskless-sync-delay 0"])
    replica = Valkey(tmp_path / "replica", [*config, f"replicaof 127.0.0.1 {master.port}"])
    lines = [
        line.replace("192.0.2.1 6379", f"127.0.0.1 {master.port}") for line in configured("sentinel/sentinel.conf")
    ]
    sentinel = Valkey(tmp_path / "sentinel", lines, ("--sentinel",))
    user = (secrets / "producer_dsn").read_text(encoding="utf-8").removeprefix("redis://").partition("@")[0]
    with master, replica, sentinel:
        options = "sentinel_username=watcher&sentinel_password=" + PASSWORDS["CHANGE-watcher"]
        yield f"sentinel://{user}@127.0.0.1:{sentinel.port}/copytrade/0?{options}"


async def test_the_secrets_fit_to_the_server_and_the_doctor_finds_nothing_wrong(
    server: Valkey, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Producers, workers and the files of the containers; nothing of the configuration is warned of."""
    for name in ("producer_dsn", "worker_dsn"):
        path = secrets / name
        path.chmod(0o644)
        path.write_text(
            path.read_text(encoding="utf-8").replace("valkey:6379", f"127.0.0.1:{server.port}"), encoding="utf-8"
        )
    monkeypatch.setenv("COPYTRADE_REDIS_DSN", f"file:{secrets / 'producer_dsn'}")

    async with Producer.connect() as producer:
        await producer.enqueue(change())
    checks = await diagnose(ProducerSettings.from_env({"COPYTRADE_REDIS_DSN": f"file:{secrets / 'worker_dsn'}"}))

    assert [check for check in checks if check.status is not CheckStatus.OK and check.name != "workers"] == []
    assert {"eviction", "persistence", "memory"} <= {check.name for check in checks}


def test_keys_are_for_the_containers_user_alone(secrets: Path) -> None:
    """What a worker refuses otherwise; the other files are behind a folder that is closed."""
    keys = (secrets / "credentials.toml").stat()

    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert stat.S_IMODE(keys.st_mode) == 0o400
    assert keys.st_uid in {10001, os.getuid()}


async def test_a_sentinel_leads_producers_to_the_master(watched: str) -> None:
    """Which takes changes only while its replica is attached."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(watched, wait_s=WITHIN_S) as producer:
        job = await producer.enqueue(change())

        assert (await job.status()).state is JobState.QUEUED
