"""A bad entry in the credentials file, while a worker runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from ops.stack import User, write_credentials
from producers import Outcome
from tests.support.changes import change
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, USERS, rig_on
from worker.process import doctor

pytestmark = ARQ_CLOSES_OLD_STYLE


async def test_its_user_s_changes_wait_and_the_others_are_sent(
    redis: ArqRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No try is spent, and the change is sent when the entry is mended. Log and doctor name it."""
    wrong = {"1002": {"passphrase": ""}}
    async with rig_on(redis, tmp_path, wrong=wrong, unknown=["1003"]) as rig, rig.working() as worker:
        waiting = await rig.producer.enqueue(change("1002"))
        assert (await (await rig.producer.enqueue(change("1001"))).result(timeout=20)).applied
        while not worker.jobs_retried:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        found = await doctor._check_credentials(rig.settings())

        write_credentials(tmp_path / "new.toml", map(User, USERS))
        (tmp_path / "new.toml").rename(tmp_path / "held.toml")
        added = await (await rig.producer.enqueue(change("1003"))).result(timeout=20)
        result = await waiting.result(timeout=20)

    assert (result.outcome, result.tries) == (Outcome.APPLIED, 1)
    assert added.outcome is Outcome.APPLIED
    assert "1 entry cannot be used" in found.detail
    (named,) = [record.message for record in caplog.records if "changes of this user wait" in record.message]
    assert f"{tmp_path / 'held.toml'}, line 6: user '1002': passphrase is missing" in named
