"""Checks of a Redis server: speed, clock, version, role, eviction, persistence, memory. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from producers.contract.wording import plural
from producers.monitor.checks import Check, fail, ok, warn
from producers.settings import REDIS_FULL_PERCENT

MIN_VERSION = (6, 2)

SLOW_S = 0.020
"""A round trip above this is slow: each claim, settlement and submission takes one."""

MAX_CLOCK_OFFSET_S = 0.5
"""How far this machine's clock may be from Redis's: the deadlines of changes are compared to both."""

NEARLY = 0.9
"""A warning is given from this part of the share of `maxmemory` on from which changes are refused."""

_MIB = 1024 * 1024

Info = Mapping[str, Any]
"""The reply of INFO: sections server, replication, cluster, memory and persistence."""


def check_round_trip(took_s: float) -> Check:
    """Check how long Redis takes to answer, in seconds."""
    detail = f"answers after {took_s * 1000:.1f} ms"
    if took_s > SLOW_S:
        return warn("redis", f"{detail}, more than {SLOW_S * 1000:.0f} ms", "run producers and workers nearer to Redis")
    return ok("redis", detail)


def check_clock(offset_s: float, uncertainty_s: float) -> Check:
    """Check this machine's clock against Redis's.

    Args:
        offset_s: Redis's time minus this machine's.
        uncertainty_s: the measurement's error, up and down.
    """
    detail = (
        f"Redis's clock is {round(offset_s * 1000):+d} ms from this machine's (within {uncertainty_s * 1000:.0f} ms)"
    )
    if abs(offset_s) - uncertainty_s > MAX_CLOCK_OFFSET_S:
        return warn("clock", detail, "synchronise both machines' clocks (NTP)")
    return ok("clock", detail)


def check_scripts(refusal: str | None) -> Check:
    """Check that this user may run scripts; `refusal` is Redis's error, None if it may."""
    if refusal is None:
        return ok("scripts", "may be run")
    if "WRONGTYPE" in refusal:
        return fail("scripts", f"a key is of a wrong type: {refusal}", "delete the key; the workers' logs name it")
    return fail("scripts", f"may not be run: {refusal}", "grant this Redis user what ops/redis.acl lists")


def info_refused(refusal: str) -> Check:
    """Return the finding for a Redis that refuses INFO, as some managed servers and restricted users do."""
    hint = "grant this Redis user +info, or make sure yourself: 6.2 or newer, noeviction, appendonly yes"
    return warn("version", f"INFO is refused ({refusal}); version, eviction and persistence are unknown", hint)


def check_info(info: Info, *, full_percent: float = REDIS_FULL_PERCENT, follows_cluster: bool = False) -> list[Check]:
    """Check what INFO reports. A field that it does not report is a warning.

    Args:
        info: the reply of INFO.
        full_percent: share of `maxmemory` from which on changes are refused.
        follows_cluster: whether the DSN is that of a cluster.
    """
    checks = _INFO_CHECKS | {
        "mode": ("role", partial(_mode, follows_cluster=follows_cluster)),
        "memory": ("used_memory", partial(_memory, full_percent=full_percent)),
    }
    return [
        _check(name, field, check, info) or warn(name, f"the server does not report its {field}", "ask whoever runs it")
        for name, (field, check) in checks.items()
    ]


def present_info(info: Info) -> list[Check]:
    """Check what INFO reports, without warnings about what it does not report."""
    found = [_check(name, field, check, info) for name, (field, check) in _INFO_CHECKS.items()]
    return [check for check in found if check is not None]


def is_cluster(info: Info) -> bool:
    """Return whether the server says that it is in cluster mode."""
    return str(info.get("cluster_enabled")) == "1"


def _check(name: str, field: str, check: Callable[[Info], Check], info: Info) -> Check | None:
    if str(info.get(field, "")) == "":
        return None
    try:
        return check(info)
    except (ValueError, TypeError, KeyError):
        return warn(name, f"the server reports its {field} in an unknown way", "ask whoever runs it")


def _version(info: Info) -> Check:
    version = str(info["redis_version"])
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < MIN_VERSION:
        return fail("version", f"Redis {version} is too old: 6.2 or newer is needed", "update the server")
    other = info.get("server_name", "redis")
    if other != "redis":
        return ok("version", f"{other} {info.get(f'{other}_version', '')}, which speaks Redis {version}")
    return ok("version", f"redis {version}")


def _mode(info: Info, *, follows_cluster: bool = True) -> Check:
    if info["role"] != "master":
        hint = "point COPYTRADE_REDIS_DSN to the primary, or to the sentinels: sentinel://host:port,host:port/master"
        return fail("mode", f"this server is a {info['role']}: it accepts no changes", hint)
    in_cluster = bool(int(info.get("cluster_enabled", 0)))
    if in_cluster and not follows_cluster:
        hint = "name the cluster's nodes in COPYTRADE_REDIS_DSN: redis+cluster://host:6379,host:6379"
        return fail("mode", "this server is in cluster mode, and the DSN is that of a single server", hint)
    of_cluster = " of a cluster" if in_cluster else ""
    return ok("mode", f"primary{of_cluster}, with {plural(int(info.get('connected_slaves', 0)), 'replica')}")


def _eviction(info: Info) -> Check:
    policy = str(info["maxmemory_policy"])
    if policy != "noeviction":
        detail = f"maxmemory-policy is {policy}: Redis may evict queued changes"
        return fail("eviction", detail, "set maxmemory-policy noeviction")
    return ok("eviction", "maxmemory-policy is noeviction")


def _persistence(info: Info) -> Check:
    if not int(info["aof_enabled"]):
        detail = "appendonly is off: a restart of Redis loses accepted changes"
        return warn("persistence", detail, "set appendonly yes")
    if info.get("aof_last_write_status", "ok") != "ok":
        detail = "the last write of the append-only file failed: Redis refuses changes until one succeeds"
        return fail("persistence", detail, "look for a full or broken disk at the server")
    return ok("persistence", "appendonly is on")


def _memory(info: Info, full_percent: float = REDIS_FULL_PERCENT) -> Check:
    used, limit = int(info["used_memory"]), int(info.get("maxmemory", 0))
    if not limit:
        return ok("memory", f"{used / _MIB:.0f} MiB in use, without a limit")
    share = (used - int(info.get("mem_not_counted_for_evict", 0))) / limit
    detail = f"{used / _MIB:.0f} of {limit / _MIB:.0f} MiB in use ({share:.0%})"
    if share < NEARLY * full_percent / 100 or info.get("maxmemory_policy", "noeviction") != "noeviction":
        return ok("memory", detail)
    hint = "raise maxmemory, lower COPYTRADE_RESULT_TTL_S, or drop dead letters"
    if share < full_percent / 100:
        return warn("memory", f"{detail}; changes are refused from {full_percent:g}% on", hint)
    return fail("memory", f"{detail}: changes are refused (COPYTRADE_REDIS_FULL_PERCENT={full_percent:g})", hint)


_INFO_CHECKS: dict[str, tuple[str, Callable[[Info], Check]]] = {
    "version": ("redis_version", _version),
    "mode": ("role", _mode),
    "eviction": ("maxmemory_policy", _eviction),
    "persistence": ("aof_enabled", _persistence),
    "memory": ("used_memory", _memory),
}
"""Each check with the field of INFO that it needs."""
