"""Sealed records in Redis: what workers read, what operators write, and no secret in clear."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from redis.exceptions import NoPermissionError

from ops.keys import KEYS
from ops.redis_server import free_port
from producers.transport.dsn import open_redis
from tests.support.redis_dump import dump
from tests.support.sealed_records import NEW, OLD, keys, ring
from worker.credentials.admin import CredentialAdmin
from worker.credentials.redis_store import RedisCredentials
from worker.credentials.sealed_records import SealedRecords
from worker.credentials.sealing import seal
from worker.errors import CredentialsUnavailable, UnknownUser


async def test_a_worker_gets_the_latest_credentials_that_the_operator_set(
    admin: CredentialAdmin, store: RedisCredentials
) -> None:
    """Setting a user again replaces the record, also with special characters in the ID."""
    assert await admin.put([keys("1001"), keys("1002")]) == 2
    assert await admin.put([keys("1001", "x"), keys("a:b%c")]) == 1

    assert await store.get("1001") == keys("1001", "x")
    assert await store.get("1002") == keys("1002")
    assert await store.get("a:b%c") == keys("a:b%c")
    assert await store.count() == 3


async def test_a_user_without_credentials_is_unknown(admin: CredentialAdmin, store: RedisCredentials) -> None:
    """The store has another user's record; the message gives the command that adds one."""
    await admin.put([keys("1001")])

    with pytest.raises(UnknownUser, match=r"'1002' in Redis; add them with: copytrade credentials set"):
        await store.get("1002")


async def test_credentials_are_unavailable_when_no_user_has_any(store: RedisCredentials) -> None:
    """The Redis may have lost them: changes wait."""
    with pytest.raises(CredentialsUnavailable, match="there are no credentials at all"):
        await store.get("1001")


async def test_swapped_or_altered_records_are_unavailable_and_logged_once(
    admin: CredentialAdmin, store: RedisCredentials, redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """Once a record, and again when it is altered in another way."""
    await admin.put([keys("1001"), keys("1002")])
    stolen = await redis.hget(KEYS.credentials, "1002")  # type: ignore[misc]

    for record in (stolen, stolen, b"garbage", b"garbage"):
        await redis.hset(KEYS.credentials, mapping={"1001": record})  # type: ignore[misc]
        with pytest.raises(CredentialsUnavailable, match="the sealed credentials of user '1001' cannot be read"):
            await store.get("1001")
    assert await store.get("1002") == keys("1002")

    assert [(record.levelno, "1001" in record.message) for record in caplog.records] == [(logging.ERROR, True)] * 2


async def test_a_record_sealed_with_a_missing_key_makes_changes_wait(
    records: SealedRecords, after: CredentialAdmin
) -> None:
    """Rotation in the wrong order delays changes and fails none."""
    await after.put([keys("1001")])
    behind = RedisCredentials(records, ring(OLD))

    with pytest.raises(CredentialsUnavailable, match="sealed with key '2026b', which is not in the key ring"):
        await behind.get("1001")


@pytest.mark.parametrize("ask", [lambda store: store.get("1001"), lambda store: store.count()], ids=["get", "count"])
async def test_without_redis_credentials_are_unavailable(ask: Callable[[RedisCredentials], object]) -> None:
    """Not unknown: an outage must not end changes unauthorized."""
    redis = open_redis(f"redis://127.0.0.1:{free_port()}", ArqRedis, timeout_s=1)
    store = RedisCredentials(SealedRecords(redis), ring(OLD))

    with pytest.raises(CredentialsUnavailable, match="cannot be read"):
        await ask(store)  # type: ignore[misc]

    await redis.aclose()


async def test_a_key_of_a_wrong_type_makes_credentials_unavailable(store: RedisCredentials, redis: ArqRedis) -> None:
    """An error of Redis itself counts like an outage."""
    await redis.set(KEYS.credentials, "x")

    with pytest.raises(CredentialsUnavailable, match="WRONGTYPE"):
        await store.get("1001")


async def test_a_user_that_was_removed_is_unknown(
    admin: CredentialAdmin, records: SealedRecords, store: RedisCredentials
) -> None:
    """A second removal reports that nothing was there; other users stay."""
    await admin.put([keys("1001"), keys("1002")])

    assert (await records.remove("1001"), await records.remove("1001")) == (True, False)

    with pytest.raises(UnknownUser):
        await store.get("1001")
    assert await store.get("1002") == keys("1002")


@asynccontextmanager
async def user_who_may(redis: ArqRedis, *rules: str) -> AsyncIterator[SealedRecords]:
    """The records as a Redis user with these ACL rules sees them."""
    await redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">hush", *rules)  # type: ignore[no-untyped-call]
    pool = redis.connection_pool
    options = pool.connection_kwargs | {"username": "narrow", "password": "hush"}
    client = ArqRedis(connection_pool=ConnectionPool(connection_class=pool.connection_class, **options))
    try:
        yield SealedRecords(client)
    finally:
        await client.aclose(close_connection_pool=True)
        await redis.execute_command("ACL", "DELUSER", "narrow")  # type: ignore[no-untyped-call]


async def test_a_worker_needs_only_read_access_to_the_records(valkey: ArqRedis) -> None:
    """HGET and HLEN on one key; a worker with these rights cannot remove a record."""
    await CredentialAdmin(SealedRecords(valkey), ring(OLD)).put([keys("1001")])

    async with user_who_may(valkey, f"%R~{KEYS.credentials}", "+hget", "+hlen") as records:
        store = RedisCredentials(records, ring(OLD))
        assert await store.get("1001") == keys("1001")
        with pytest.raises(UnknownUser):
            await store.get("1002")
        with pytest.raises(NoPermissionError):
            await records.remove("1001")


async def test_an_operator_needs_seven_commands_on_the_records(valkey: ArqRedis) -> None:
    """They suffice to set, rotate, check and remove, on this key only and with no script cached."""
    commands = ("+hget", "+hlen", "+hset", "+hdel", "+hscan", "+evalsha", "+eval")
    await valkey.script_flush()

    async with user_who_may(valkey, f"~{KEYS.credentials}", *commands) as records:
        before, after = CredentialAdmin(records, ring(OLD)), CredentialAdmin(records, ring(NEW, OLD))
        await before.put([keys("1001"), keys("1002")])
        assert (await after.rotate()).rotated == 2
        assert (await after.key_usage()).left == 0
        assert await records.remove("1001")


async def test_no_secret_is_in_redis_or_in_a_log_or_in_a_repr(
    admin: CredentialAdmin,
    after: CredentialAdmin,
    store: RedisCredentials,
    redis: ArqRedis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After setting, reading and rotating, and with a record that does not open."""
    caplog.set_level(logging.DEBUG)
    users = [keys("1001"), keys("1002"), keys("1003")]
    await admin.put(users)
    found = [await store.get(user.user_id) for user in users]
    done = await after.rotate()
    await redis.hset(KEYS.credentials, mapping={"1003": seal(users[0], ring(NEW), set_at_ms=1)})  # type: ignore[misc]
    with pytest.raises(CredentialsUnavailable) as caught:
        await store.get("1003")
    list_records = [entry async for entry in after.list_records()]

    stored = await dump(redis)
    shown = [found, done, list_records, store, vars(store), admin, vars(admin), caught.value, await after.key_usage()]
    shown_text = "\n".join([stored, caplog.text, *map(repr, shown)])

    assert "1001" in stored, "the dump must see what is there"
    secrets = [secret.reveal() for user in users for secret in (user.api_key, user.secret_key, user.passphrase)]
    for secret in [*secrets, *(entry.partition(":")[2] for entry in (OLD, NEW))]:
        assert secret not in shown_text
