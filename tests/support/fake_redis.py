"""fakeredis, complete enough for a whole worker."""

from __future__ import annotations

from typing import Any

import pytest
from arq.connections import ArqRedis
from fakeredis import FakeServer
from fakeredis.aioredis import FakeAsyncRedisConnection
from redis.asyncio import ConnectionPool

from tests.support import lua_msgpack

lua_msgpack.install()


class FakeArqRedis(ArqRedis):
    """arq's client on fakeredis, which has no INFO."""

    async def info(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Return what the worker reads of INFO."""
        return {"redis_version": "7.2.0", "maxmemory_policy": "noeviction", "aof_enabled": 1}


async def _log_nothing(*_: object) -> None:
    """Replace arq's `log_redis_info`, which asks for INFO in a pipeline."""


def open_fake(monkeypatch: pytest.MonkeyPatch) -> ArqRedis:
    """Return a client of a new, empty fakeredis."""
    monkeypatch.setattr("arq.worker.log_redis_info", _log_nothing)
    return FakeArqRedis(connection_pool=ConnectionPool(connection_class=FakeAsyncRedisConnection, server=FakeServer()))
