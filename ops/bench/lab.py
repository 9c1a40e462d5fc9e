"""The bench's set-up: an embedded Valkey, the double and workers, and changes to send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from redis.asyncio import Redis

from ops.redis_server import embedded_valkey
from ops.stack import Stack, User, write_credentials
from producers import CopySetting, Producer, SettingsChange
from producers.contract.keyspace import COUNTS

OUT_OF_THE_WAY = {"COPYTRADE_USER_RATE_PER_S": "1000000", "COPYTRADE_EGRESS_RATE_PER_S": "1000000"}
DOUBLE_OUT_OF_THE_WAY = ("--user-rate-per-s", "100000", "--egress-per-min", "100000000")
READY_S = 30.0
LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Lab:
    """What a benchmark works with."""

    stack: Stack
    producer: Producer
    redis: Redis


@asynccontextmanager
async def lab(
    users: Sequence[str],
    *,
    workers: int,
    double_options: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Lab]:
    """A running set-up; its workers are ready when it is entered."""
    with TemporaryDirectory() as folder, embedded_valkey() as dsn:
        credentials = write_credentials(Path(folder) / "credentials.toml", [User(user) for user in users])
        stack = Stack(
            dsn, credentials, credentials, double_options, {"COPYTRADE_LOG_LEVEL": "ERROR", **(environ or {})}
        )
        async with stack, Producer.connect(dsn) as producer, Redis.from_url(dsn) as redis:
            await stack.start_workers(workers)
            await _until_ready(stack, workers)
            await stack.reset()
            yield Lab(stack, producer, redis)


def change(user: str, value: int = 1, trader: str = "123123123") -> SettingsChange:
    """A change of the endpoint's example, recognisable by its traceValue."""
    return SettingsChange(
        user_id=user,
        trader_id=trader,
        settings=[
            CopySetting(
                symbol="BTCUSDT",
                product_type="USDT-FUTURES",
                margin_type="trader",
                margin_coin="USDT",
                lever_type="trader",
                trace_type="amount",
                trace_value=str(value),
                max_hold_size="5000",
            )
        ],
    )


async def until_ended(redis: Redis, count: int) -> None:
    """Returns when so many changes have ended."""
    while await _ended(redis) < count:  # noqa: ASYNC110 - looks at another process
        await asyncio.sleep(LOOK_S)


async def _ended(redis: Redis) -> int:
    numbers = await cast("Awaitable[list[bytes]]", redis.hvals(COUNTS))
    return sum(map(int, numbers))


async def _until_ready(stack: Stack, workers: int) -> None:
    """A worker that is ready has asked the double for its time."""
    async with asyncio.timeout(READY_S):
        while (await stack.report())["arrivals"] < workers:  # noqa: ASYNC110 - looks at another process
            await asyncio.sleep(LOOK_S)
