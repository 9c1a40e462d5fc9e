"""Sealed credentials, as tests of the `copytrade credentials` command set and read them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

from arq.connections import ArqRedis

from producers.transport.dsn import open_redis
from tests.support.copytrade import Copytrade
from worker.credentials.key_ring import new_entry, open_key_ring
from worker.credentials.model import Credentials
from worker.credentials.redis_store import RedisCredentials
from worker.credentials.sealed_records import SealedRecords
from worker.secret import Secret

T = TypeVar("T")

OLD, NEW = new_entry("2026a"), new_entry("2026b")
KEYS = {"apiKey": "hush-key", "secretKey": "hush-secret", "passphrase": "hush-pass"}
LINES = "\n".join(KEYS.values()) + "\n"


def on_redis(copytrade: Copytrade, work: Callable[[ArqRedis], Awaitable[T]]) -> T:
    """Run work with a client; return its result."""

    async def connected() -> T:
        redis = open_redis(copytrade.dsn, ArqRedis, timeout_s=5)
        try:
            return await work(redis)
        finally:
            await redis.aclose()

    return asyncio.run(connected())


def stored(copytrade: Copytrade, user_id: str = "1001", entries: str = OLD) -> Credentials:
    """Return the credentials that a worker reads."""

    async def work(redis: ArqRedis) -> Credentials:
        return await RedisCredentials(SealedRecords(redis), open_key_ring(Secret(entries), "X")).get(user_id)

    return on_redis(copytrade, work)


def keys(user_id: str = "1001", *, demo: bool = False) -> Credentials:
    """Return `KEYS` as credentials."""
    api_key, secret_key, passphrase = map(Secret, KEYS.values())
    return Credentials(user_id=user_id, api_key=api_key, secret_key=secret_key, passphrase=passphrase, demo=demo)


def many(*user_ids: str) -> str:
    """Return lines for several users."""
    return "".join(json.dumps({"userId": user_id} | KEYS) + "\n" for user_id in user_ids)
