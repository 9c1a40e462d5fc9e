"""Whether a Redis is fit to hold a queue. Reads a report, returns complaints; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OLDEST_VERSION = (6, 2)


def complaints(info: Mapping[str, Any]) -> list[str]:
    """What is wrong with a Redis, a line each; nothing when it is fit.

    Args:
        info: the reply of INFO, sections server, memory and persistence.
    """
    found = []
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < OLDEST_VERSION:
        found.append(f"Redis {version} is too old: 6.2 or newer is needed")
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        found.append(f"maxmemory-policy is {policy}: Redis may evict queued changes; set noeviction")
    if not int(info.get("aof_enabled", 1)):
        found.append("appendonly is off: a restart of Redis loses accepted changes; set appendonly yes")
    return found
