"""What the benchmark runs on, and which version of the project it measures."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from redis import Redis

from ops.bench.peers.report import Machine
from ops.redis_server import embedded_valkey

ROOT = Path(__file__).parents[3]
MEASURED = ("--", "pyproject.toml", "producers", "worker", "ops", ":!ops/bench/peers.*", ":!ops/bench/PEERS.md")
"""The files that count as changed, in git's words: not those that the benchmark writes."""


def describe() -> Machine:
    """Return the machine and the server's version, for which a server is started."""
    with embedded_valkey() as dsn, Redis.from_url(dsn) as redis:
        info = redis.info("server")
    server = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
    return Machine(_cpu(), len(os.sched_getaffinity(0)), platform.release(), platform.python_version(), server)


def commit() -> str:
    """Return the checkout's commit, short, with "+" if files were changed since; "" without git or a checkout."""
    git = ("git", "-C", str(ROOT))
    try:
        found, changes = (
            subprocess.run((*git, *words), capture_output=True, check=True).stdout.decode().strip()  # noqa: S603 - ours
            for words in (
                ("rev-parse", "--short", "HEAD"),
                ("status", "--porcelain", "--untracked-files=no", *MEASURED),
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{found}+" if changes else found


def _cpu() -> str:
    """Return the processor's name, or its architecture if the system does not say."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
