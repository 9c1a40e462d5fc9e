"""The commands of the pages for a Redis Cluster, as they stand there: they are run in bash, with redis-cli."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from ops.redis_cluster import ClusterSetup
from ops.redis_server import Valkey, free_port
from ops.slot_moves import other_primary
from producers import CheckStatus, JobState, Producer, ProducerSettings, diagnose
from producers.contract.layout import LAYOUT
from producers.errors import QueueUnavailable
from tests.support.changes import change
from tests.support.clusters import SLOT, owner
from tests.support.deploy import DEPLOY, ROOT, configuration
from tests.support.pages import block

pytestmark = pytest.mark.skipif(
    shutil.which("redis-cli") is None and "CI" not in os.environ, reason="redis-cli (Debian's redis-tools) is missing"
)

PAGE_OF_FILES = "ops/deploy/README.md"
SHELL = block("ops/runbook/README.md", "each_node() {\n")
ROTATE = "ops/runbook/rotate-keys.md"
MOVE = "ops/runbook/move-the-slot.md"
PAGE_OF_LAYOUTS = ROOT / "ops/runbook/upgrade.md"
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Shell:
    """A person's shell, at the machine from which the nodes are served.

    Attributes:
        folder: where it stands: a copy of the files that the pages name.
        nodes: the machines 10.0.0.1 to 10.0.0.6 of the pages.
    """

    folder: Path
    nodes: tuple[Valkey, ...]

    @property
    def cluster(self) -> ClusterSetup:
        """The nodes, for the operator."""
        return ClusterSetup(self.nodes, 3, self.password("operator"), "copytrade-operator")

    def password(self, user: str) -> str:
        """Return the password of a user."""
        (found,) = re.findall(rf"copytrade-{user} on >(\S+)", (self.folder / "nodes/users.acl").read_text())
        return str(found)

    def dsn(self, user: str) -> str:
        """Return what the file with a user's DSN says."""
        return (self.folder / f"nodes/{user}_dsn").read_text().strip()

    def run(self, *scripts: str, answer: str = "", fails: bool = False) -> str:
        """Run blocks of the pages with the nodes' addresses. Return what they print."""
        text = "\n".join(scripts)
        for number, node in enumerate(self.nodes, 1):
            text = text.replace(f"10.0.0.{number}:6379", f"127.0.0.1:{node.port}")
            text = text.replace(f"-h 10.0.0.{number} -p 6379", f"-h 127.0.0.1 -p {node.port}")
        environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        if (self.folder / "nodes/users.acl").exists():
            environ["REDISCLI_AUTH"] = self.password("operator")
        if (self.folder / "nodes/producer_dsn").exists():
            environ["COPYTRADE_REDIS_DSN"] = self.dsn("producer")
        done = subprocess.run(  # noqa: S603 - the project's own pages
            ["/bin/bash", "-c", text], cwd=self.folder, env=environ, input=answer, text=True, capture_output=True,
            timeout=WITHIN_S, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """The cluster that the page of the files makes."""
    folder = tmp_path_factory.mktemp("cluster")
    for path in (DEPLOY / "valkey.conf", DEPLOY.parent / "redis.acl", *(DEPLOY / "cluster").iterdir()):
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    Shell(folder, ()).run(block(PAGE_OF_FILES, "mkdir nodes"))
    with ExitStack() as running:
        made = Shell(folder, tuple(running.enter_context(node(folder, number)) for number in range(6)))
        made.run(block(PAGE_OF_FILES, "--cluster create"), answer="yes\n")
        made.cluster.wait_until_formed()
        yield made


def node(folder: Path, number: int) -> Valkey:
    """Return a node with a copy of the files."""
    own = folder / f"node-{number}"
    own.mkdir()
    shutil.copy(folder / "nodes/users.acl", own)
    lines = [*configuration(folder / "nodes/valkey.conf"), f"aclfile {own / 'users.acl'}"]
    return Valkey(own, [*lines, f"cluster-port {free_port()}", "repl-diskless-sync-delay 0"])


async def enqueued(shell: Shell) -> JobState:
    """Enqueue a change, and return its state."""
    async with asyncio.timeout(WITHIN_S), Producer.connect(shell.dsn("producer"), wait_s=WITHIN_S) as producer:
        return (await (await producer.enqueue(change())).status()).state


def names(shell: Shell) -> tuple[str, Valkey]:
    """Return the first block of the page with the nodes between which the slot moves, and the one that is to own it."""
    source, target = owner(shell.cluster), other_primary(shell.cluster, SLOT)
    text = block(MOVE, "TAG=")
    for letter, node, host in (("A", source, "10.0.0.1"), ("B", target, "10.0.0.2")):
        here = f"{letter}_HOST=127.0.0.1 {letter}_PORT={node.port}"
        text = text.replace(f"{letter}_HOST={host} {letter}_PORT=6379", here)
    return text.replace("PASSWORD", shell.password("operator")) + block(MOVE, "CLUSTER KEYSLOT"), target


def moved_at_once(shell: Shell) -> tuple[Valkey, str]:
    """Move the slot at once. Return the node that is to own it, and what the page shows at the end."""
    first, target = names(shell)
    shell.run(first, block(MOVE, "MIGRATESLOTS"))
    shown = ""
    while not re.search("success|failed|canceled", shown):
        shown = shell.run(first, block(MOVE, "GETSLOTMIGRATIONS"))
    return target, shown


async def test_the_cluster_serves_the_users_of_its_files(shell: Shell) -> None:
    """A producer enqueues, and the doctor finds nothing wrong but that there is no worker. The files are private."""
    modes = {path.name: f"{path.stat().st_mode & 0o777:o}" for path in (shell.folder / "nodes").iterdir()}
    printed = shell.run(block(PAGE_OF_FILES, "nodes/producer_dsn copytrade doctor"))
    state = await enqueued(shell)
    checks = await diagnose(ProducerSettings(redis_dsn=shell.dsn("worker")))

    assert "cluster" in printed
    assert set(modes.values()) == {"600"}, modes
    assert state is JobState.QUEUED
    assert [check for check in checks if check.status is not CheckStatus.OK and check.name != "workers"] == []


async def test_the_slot_moves_at_once(shell: Shell) -> None:
    """The block that shows the state is repeated until it shows success; the message is beside it."""
    await enqueued(shell)
    target, shown = moved_at_once(shell)

    assert re.search(r"^state\tsuccess\nmessage\t", shown, re.MULTILINE)
    assert owner(shell.cluster) is target


async def test_the_slot_moves_key_by_key(shell: Shell) -> None:
    """A block stops where it fails, and the slot keeps its owner. Repeated without the fault, it carries it on."""
    await enqueued(shell)
    first, target = names(shell)
    move = block(MOVE, "IMPORTING")
    shell.run(block(MOVE, "pause --everything"))
    cut_off = shell.run(first, "LOGIN='AUTH2 copytrade-operator wrong'", move, fails=True)
    kept = owner(shell.cluster)
    moved = shell.run(first, move)
    shell.run(block(MOVE, "resume --everything"))

    assert "was moved" not in cut_off
    assert kept is not target
    assert f"slot {SLOT} was moved" in moved
    assert owner(shell.cluster) is target
    assert await enqueued(shell) is JobState.QUEUED


async def test_the_copies_of_a_cluster_have_the_queue(shell: Shell) -> None:
    """A file of each primary; the layout of the queue is in one of them, and is found from any node."""
    await enqueued(shell)
    shell.run(block("ops/runbook/redis-was-lost.md", "--cluster backup"))
    copies = [path.read_bytes() for path in (shell.folder / "copies").glob("*.rdb")]
    (read_layout,) = re.findall(r"`(\$REDIS GET '{copytrade}:layout')`", PAGE_OF_LAYOUTS.read_text())

    assert [b"{copytrade}:layout" in copy for copy in sorted(copies, key=len)] == [False, False, True]
    assert shell.run(SHELL, read_layout).strip() == LAYOUT


async def test_a_password_is_rotated_at_each_node(shell: Shell) -> None:
    """Replicas too; the old one is refused then, wherever the slot goes."""
    old = shell.password("producer")
    rotate = block(ROTATE, "ACL SETUSER copytrade-worker")
    rotate = rotate.replace("copytrade-worker", "copytrade-producer").replace("OLD-PASSWORD", old)
    printed = shell.run(SHELL, rotate)
    files = [(node.folder / "users.acl").read_text() for node in shell.nodes]
    with pytest.raises(QueueUnavailable):
        await enqueued(shell)
    dsn = shell.folder / "nodes/producer_dsn"
    dsn.write_text(dsn.read_text().replace(old, "NEW-PASSWORD"))

    assert printed.count("OK") == 3 * len(shell.nodes)
    for file in files:
        assert [sha256(each.encode()).hexdigest() in file for each in (old, "NEW-PASSWORD")] == [False, True]
    assert await enqueued(shell) is JobState.QUEUED


async def test_the_password_of_the_nodes_is_rotated(shell: Shell) -> None:
    """They use the new one among each other from then on: the slot moves with it."""
    shell.run(SHELL, block(ROTATE, "masterauth").replace("OLD-PASSWORD", shell.password("replica")))
    target, shown = moved_at_once(shell)

    assert "success" in shown
    assert owner(shell.cluster) is target


async def test_the_nodes_let_each_other_have_the_keys_of_a_further_queue(shell: Shell) -> None:
    """Beside those of the first."""
    printed = shell.run(SHELL, block("ops/ACL.md", "SETUSER copytrade-replica"))
    files = [(node.folder / "users.acl").read_text() for node in shell.nodes]

    assert printed.count("OK") == 2 * len(shell.nodes)
    for file in files:
        (replica,) = [line for line in file.splitlines() if line.startswith("user copytrade-replica ")]
        assert "~{copytrade}:* ~{copytrade/*}:* ~{orders}:* ~{orders/*}:*" in replica
