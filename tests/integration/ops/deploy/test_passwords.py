"""The operator's files of `secrets.sh`, and passwords that are rotated as the runbook says."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from ops.redis_server import Valkey
from tests.support.deploy import DEPLOY


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What `secrets.sh` makes, in a copy of the folders that it reads."""
    folder = tmp_path / "ops" / "deploy"
    folder.mkdir(parents=True)
    shutil.copy(DEPLOY / "secrets.sh", folder)
    shutil.copy(DEPLOY.parent / "redis.acl", folder.parent)
    run(folder)
    return folder / "secrets"


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script; only root can give the files to the containers' user."""
    return subprocess.run(["/bin/sh", "secrets.sh"], cwd=folder, check=os.getuid() == 0, capture_output=True, text=True)


@pytest.fixture
def server(tmp_path: Path, secrets: Path) -> Iterator[Valkey]:
    """A server with the users of the secrets."""
    with Valkey(tmp_path / "valkey", ["save ''", f"aclfile {secrets / 'users.acl'}"]) as running:
        yield running


def log_in(server: Valkey, user: str, password: str) -> Redis:
    """Return a connected client of a user."""
    client = Redis(port=server.port, username=user, password=password, decode_responses=True)
    client.ping()
    return client


def password_of(dsn_file: Path) -> str:
    return dsn_file.read_text(encoding="utf-8").partition("@")[0].rpartition(":")[2]


def test_the_operator_and_the_keys_have_files_that_nobody_else_reads(server: Valkey, secrets: Path) -> None:
    """Their passwords are in no other place that outlives ACL SAVE."""
    for name in ("operator_password", "operator_dsn", "keys_dsn"):
        assert stat.S_IMODE((secrets / name).stat().st_mode) == 0o600

    operator = log_in(server, "copytrade-operator", (secrets / "operator_password").read_text(encoding="utf-8").strip())
    log_in(server, "copytrade-keys", password_of(secrets / "keys_dsn"))

    assert operator.acl_save()
    assert password_of(secrets / "worker_dsn") not in (secrets / "users.acl").read_text(encoding="utf-8")


def test_a_dsn_that_an_earlier_version_did_not_write_is_added(secrets: Path) -> None:
    """From the password in the file of users; if that has only hashes, the message says whose is missing."""
    before = (secrets / "keys_dsn").read_text(encoding="utf-8")
    (secrets / "keys_dsn").unlink()
    run(secrets.parent)
    assert (secrets / "keys_dsn").read_text(encoding="utf-8") == before

    (secrets / "keys_dsn").unlink()
    users = secrets / "users.acl"
    users.chmod(0o600)
    users.write_text(users.read_text(encoding="utf-8").replace(">", "#"), encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(secrets.parent).check_returncode()

    assert "no password of copytrade-keys" in caught.value.stderr


def test_a_password_is_rotated_by_editing_the_file_of_users_in_place(server: Valkey, secrets: Path) -> None:
    """Both are valid in between, and then only the new one."""
    operator = log_in(server, "copytrade-operator", password_of(secrets / "operator_dsn"))
    old = password_of(secrets / "worker_dsn")
    users = secrets / "users.acl"
    users.chmod(0o600)
    users.write_text(users.read_text(encoding="utf-8").replace(f">{old}", f">{old} >new"), encoding="utf-8")

    assert operator.acl_load()
    log_in(server, "copytrade-worker", old)
    worker = log_in(server, "copytrade-worker", "new")

    users.write_text(users.read_text(encoding="utf-8").replace(f">{old} ", ""), encoding="utf-8")
    assert operator.acl_load()
    with pytest.raises(AuthenticationError):
        log_in(server, "copytrade-worker", old)
    assert worker.ping()
