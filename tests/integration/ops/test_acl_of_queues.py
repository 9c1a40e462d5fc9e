"""The ACL users of a further queue on the same server, as ops/ACL.md makes them from ops/redis.acl."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers import JobState, Producer, ProducerSettings, QueueUnavailable
from tests.support.acl_servers import Server, serving
from tests.support.changes import change
from tests.support.pages import ROOT, block

PAGE = "ops/ACL.md"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the first queue."""
    with serving(tmp_path / "redis", in_cluster=False) as running:
        yield running


def printed_users() -> list[list[str]]:
    """Return the users that the page's block prints, as words of ACL SETUSER."""
    done = subprocess.run(  # noqa: S603 - the project's own page
        ["/bin/sh", "-c", block(PAGE, "NAME=")], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [line.removeprefix("user ").split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shards", [1, 2])
async def test_the_users_of_a_further_queue_reach_it_and_no_other(server: Server, shards: int) -> None:
    """Those of the first queue keep their rights, and do not reach the further one."""
    async with server.client("operator") as operator:
        for words in printed_users():
            assert await operator.execute_command("ACL", "SETUSER", *words)
        for user in ("orders-producer", "orders-worker"):
            for key in ("copytrade:layout", "{copytrade}:layout", "{copytrade/1}:layout", "arq:job:1"):
                answer = await operator.execute_command("ACL", "DRYRUN", user, "GET", key)
                assert b"no permissions" in answer.lower(), (user, key)
    theirs = server.dsn("producer").replace("copytrade-producer:CHANGE-", "orders-producer:CHANGE-orders-")
    of_orders = ProducerSettings(keyspace="orders", shards=shards)

    async with Producer.connect(theirs, of_orders) as orders, Producer.connect(server.dsn("producer")) as first:
        assert (await (await orders.enqueue(change())).status()).state is JobState.QUEUED
        assert (await (await first.enqueue(change())).status()).state is JobState.QUEUED
    async with Producer.connect(server.dsn("producer"), of_orders) as stranger:
        with pytest.raises(QueueUnavailable, match="ACL does not let this user"):
            await stranger.enqueue(change())
