"""No secret leaves the worker except towards the exchange: not to Redis, a log or an error."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.exchange import Fault
from tests.support.changes import change
from tests.support.redis_dump import dump
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, USERS, rig_on
from worker.exchange import signing

pytestmark = ARQ_CLOSES_OLD_STYLE

FAULTS = [
    Fault("http_500", first=1, user="1001"),
    Fault("reset_after", first=1, user="1001"),
    Fault("code:40034", first=1, user="1001"),
    Fault("code:40009", first=1, user="1002"),
    Fault("http_429", first=1, user="1002"),
]


async def test_no_secret_and_no_signature_is_in_redis_or_in_the_log(
    valkey: ArqRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the most verbose level, with every kind of failure, rejected keys, and changes still queued."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0  # asyncio shows each callback, with its arguments
    signatures: list[str] = []
    sign = signing.sign

    def remembered(*args: object, **options: object) -> str:
        signatures.append(sign(*args, **options))  # type: ignore[arg-type]
        return signatures[-1]

    monkeypatch.setattr(signing, "sign", remembered)
    wrong = {"1003": {"passphrase": "wrong-pass-1003"}}
    async with rig_on(valkey, tmp_path, faults=FAULTS, wrong=wrong) as rig:
        changes = [change(user, f"t{number}") for user in USERS for number in range(3)]
        report = await rig.producer.enqueue_many(changes)

        worker = await rig.drain()
        await rig.producer.enqueue(change())
        stored = await dump(valkey)
        results = [await job.result(timeout=0) for job in report.jobs]

    text = "\n".join([stored, caplog.text, repr(results), repr(worker), repr(worker.settings), repr(vars(worker))])
    assert len(signatures) > len(USERS)
    assert "1003" in text, "the dump must see what is there"
    assert "Executing <Task" in caplog.text
    for secret in [*signatures, *(f"{kind}-{user}" for kind in ("key", "secret", "pass") for user in USERS)]:
        assert secret not in text
