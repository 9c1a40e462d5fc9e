"""A whole worker with sealed records in Redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from ops.redis_server import free_port
from producers import Outcome
from producers.monitor.checks import CheckStatus
from tests.support.changes import change
from tests.support.redis_dump import dump
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, USERS, Rig, rig_on
from worker.credentials.admin import CredentialAdmin
from worker.credentials.key_ring import new_entry, open_key_ring
from worker.credentials.model import Credentials
from worker.credentials.sealed_records import SealedRecords
from worker.errors import CredentialsError
from worker.process import doctor
from worker.secret import Secret
from worker.settings import WorkerSettings

pytestmark = ARQ_CLOSES_OLD_STYLE

OLD, NEW = new_entry("2026a"), new_entry("2026b")


def keys(user_id: str) -> Credentials:
    """Return the keys that the double has for a user."""
    api_key, secret_key, passphrase = (Secret(f"{kind}-{user_id}") for kind in ("key", "secret", "pass"))
    return Credentials(user_id=user_id, api_key=api_key, secret_key=secret_key, passphrase=passphrase)


def admin(redis: ArqRedis, *entries: str) -> CredentialAdmin:
    return CredentialAdmin(SealedRecords(redis), open_key_ring(Secret(",".join(entries)), "X"))


def sealed(*entries: str) -> dict[str, Any]:
    return {"credentials": "redis:", "credentials_keys": Secret(",".join(entries))}


@asynccontextmanager
async def rig_with_sealed_keys(redis: ArqRedis, folder: Path) -> AsyncIterator[Rig]:
    """A rig whose users' keys are in Redis, sealed with the old key."""
    async with rig_on(redis, folder) as rig:
        await admin(redis, OLD).put([keys(user) for user in USERS])
        yield rig


async def test_changes_are_signed_with_keys_from_redis(valkey: ArqRedis, tmp_path: Path) -> None:
    """The exchange double verifies every signature; a user without keys ends unauthorized."""
    async with rig_with_sealed_keys(valkey, tmp_path) as rig:
        results = await rig.outcome([change(user) for user in (*USERS, "1009")], **sealed(OLD))

    assert [result.outcome for result in results] == [Outcome.APPLIED] * 3 + [Outcome.UNAUTHORIZED]
    assert "copytrade credentials set" in results[3].message


async def test_a_key_is_rotated_while_workers_run_and_no_change_fails(valkey: ArqRedis, tmp_path: Path) -> None:
    """Changes of a worker without the new key wait for a worker that has it."""
    async with rig_with_sealed_keys(valkey, tmp_path) as rig:
        await admin(valkey, NEW, OLD).rotate()
        job = await rig.producer.enqueue(change("1001"))
        async with rig.working(**sealed(OLD)) as behind:
            while not behind.jobs_retried:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            assert await rig.result(job.job_id) is None
        async with rig.working(**sealed(NEW)):
            result = await job.result(timeout=30)

    assert (result.outcome, result.tries) == (Outcome.APPLIED, 1)


async def test_a_worker_with_sealed_keys_shows_no_secret(
    valkey: ArqRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in Redis, in logs at the most verbose level, or in the repr of the worker."""
    caplog.set_level(logging.DEBUG)
    async with rig_with_sealed_keys(valkey, tmp_path) as rig:
        await rig.producer.enqueue_many([change(user) for user in USERS])
        worker = await rig.drain(**sealed(OLD))
        stored = await dump(valkey)

    shown = (worker, worker.settings, vars(worker), worker._credentials, vars(worker._credentials))
    shown_text = "\n".join([stored, caplog.text, *map(repr, shown)])
    assert "1003" in stored, "the dump must see what is there"
    for secret in [OLD.partition(":")[2], *(f"{kind}-{user}" for kind in ("key", "secret", "pass") for user in USERS)]:
        assert secret not in shown_text


async def test_a_worker_with_a_malformed_key_ring_does_not_start(valkey: ArqRedis, tmp_path: Path) -> None:
    """The error names the variable and the entry, but not the key."""
    async with rig_on(valkey, tmp_path) as rig:
        with pytest.raises(CredentialsError, match="the key ring in COPYTRADE_CREDENTIALS_KEYS, entry 2"):
            rig.worker(**sealed(OLD, "2026x:hush"))


async def test_the_doctor_counts_the_users_in_redis(valkey: ArqRedis, valkey_dsn: str) -> None:
    """No user at all and an unreachable Redis are failures."""
    settings = WorkerSettings(redis_dsn=valkey_dsn, **sealed(OLD))
    empty = await doctor._check_credentials(settings)
    await admin(valkey, OLD).put([keys("1001"), keys("1002")])
    found = await doctor._check_credentials(settings)
    away = await doctor._check_credentials(
        WorkerSettings(redis_dsn=f"redis://127.0.0.1:{free_port()}", redis_timeout_s=1, **sealed(OLD))
    )
    await valkey.delete(KEYS.credentials)

    assert (found.status, found.detail) == (CheckStatus.OK, "readable, of 2 users")
    assert (empty.status, away.status) == (CheckStatus.FAIL, CheckStatus.FAIL)
    assert "copytrade credentials set" in empty.detail
    assert "cannot be read" in away.detail


async def test_the_doctor_reads_the_keys_from_the_redis_of_its_argument(valkey: ArqRedis, valkey_dsn: str) -> None:
    """The Redis of the settings is not asked."""
    await admin(valkey, OLD).put([keys("1001")])
    settings = WorkerSettings(redis_dsn=f"redis://127.0.0.1:{free_port()}", redis_timeout_s=1, **sealed(OLD))

    found = {check.name: check for check in await doctor.checks(settings, dsn=valkey_dsn)}

    assert found["credentials"].detail == "readable, of 1 user"
