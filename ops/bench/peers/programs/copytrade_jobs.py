"""This project, as its users run it: `python -m worker`, and a producer. It runs in the project's own environment."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from arq.constants import result_key_prefix
from protocol import REDIS_URL, VARIANT, Change, ready, run
from redis.asyncio import Redis

from producers import Outcome, Producer, SettingsChange


class CopytradeQueue:
    """The queue of this project."""

    _producer: Producer

    def work(self) -> None:
        """Become the worker. A variant is how many changes it has at once."""
        if VARIANT:
            os.environ["COPYTRADE_MAX_JOBS"] = VARIANT
        ready()
        os.execv(sys.executable, [sys.executable, "-m", "worker"])  # noqa: S606 - our own module

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect."""
        async with Producer.connect(REDIS_URL) as self._producer:
            yield

    async def enqueue(self, changes: list[Change]) -> None:
        """Enqueue all in one call."""
        report = await self._producer.enqueue_many(msgspec.convert(changes, list[SettingsChange]))
        if report.refused:
            raise RuntimeError(f"{len(report.refused)} changes were refused: {report.refused[:1]}")

    async def call(self, change: Change, poll_s: float | None) -> object:  # noqa: ARG002 - it is notified
        """Enqueue one; its end is published."""
        job = await self._producer.enqueue(msgspec.convert(change, SettingsChange))
        return await job.result(timeout=60)

    async def applied(self) -> AsyncIterator[bool]:
        """Read all results."""
        async with Redis.from_url(REDIS_URL) as redis:
            keys = {key async for key in redis.scan_iter(f"{result_key_prefix}*", count=1000)}
        for key in keys:
            result = await self._producer.job(key.decode().removeprefix(result_key_prefix)).result(timeout=60)
            yield result.outcome is Outcome.APPLIED


if __name__ == "__main__":
    run(CopytradeQueue())
