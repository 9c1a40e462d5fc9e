"""What the benchmark runs on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from redis import Redis

from ops.bench.peers.report import Machine
from ops.redis_server import embedded_valkey


def describe() -> Machine:
    """Return the machine and the server's version, for which a server is started."""
    with embedded_valkey() as dsn, Redis.from_url(dsn) as redis:
        info = redis.info("server")
    server = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
    return Machine(_cpu(), len(os.sched_getaffinity(0)), platform.release(), platform.python_version(), server)


def _cpu() -> str:
    """Return the processor's name (Linux), or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
