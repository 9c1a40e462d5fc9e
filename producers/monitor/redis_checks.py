"""Whether a Redis is fit to hold a queue, by what it says of itself. Reports in, findings out; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from producers.monitor.checks import Check, fail, ok, warn

OLDEST_VERSION = (6, 2)
SLOW_S = 0.020
"""A round trip above this: a claim, a settlement and a submission wait for one each."""

CLOCK_OFF_S = 0.5
"""This machine's clock may differ from Redis's by so much: deadlines of changes are judged by both."""

FULL, ALMOST_FULL = 0.95, 0.80
"""Parts of `maxmemory`. With `noeviction`, a full Redis refuses changes."""

_MIB = 1024 * 1024

Info = Mapping[str, Any]
"""The reply of INFO, sections server, replication, cluster, memory and persistence."""


def check_round_trip(took_s: float) -> Check:
    """How far away Redis is."""
    detail = f"answers after {took_s * 1000:.1f} ms"
    if took_s > SLOW_S:
        return warn("redis", f"{detail}, more than {SLOW_S * 1000:.0f} ms", "run producers and workers nearer to Redis")
    return ok("redis", detail)


def unreachable(reason: str) -> Check:
    """Redis does not answer at all."""
    return fail("redis", f"does not answer: {reason}", "start it, or correct COPYTRADE_REDIS_DSN")


def check_clock(offset_s: float, uncertain_s: float) -> Check:
    """How this machine's clock stands to Redis's.

    Args:
        offset_s: Redis's time less ours.
        uncertain_s: how wrong that may be.
    """
    detail = f"Redis's clock is {offset_s * 1000:+.0f} ms from this machine's (within {uncertain_s * 1000:.0f} ms)"
    if abs(offset_s) - uncertain_s > CLOCK_OFF_S:
        return warn("clock", detail, "synchronise both machines' clocks (NTP)")
    return ok("clock", detail)


def check_scripts(refusal: str | None) -> Check:
    """Whether this user may run scripts; all that the queue does is done by them."""
    if refusal is None:
        return ok("scripts", "may be run")
    return fail("scripts", f"may not be run: {refusal}", "grant this Redis user +@scripting and the queue's commands")


def info_refused(refusal: str) -> Check:
    """INFO is forbidden, as some managed servers and narrow users have it."""
    hint = "grant this Redis user +info, or make sure yourself: 6.2 or newer, noeviction, appendonly yes"
    return warn("version", f"INFO is refused ({refusal}); version, eviction and persistence are unknown", hint)


def check_info(info: Info) -> list[Check]:
    """All that INFO tells; what it does not tell is a warning, for it may be wrong."""
    return [_judged(rule, info) for rule in _RULES]


def present_info(info: Info) -> list[Check]:
    """What INFO tells, without complaints of what it does not tell."""
    return [_judged(rule, info) for rule in _RULES if _told(rule, info)]


def _version(info: Info) -> Check:
    version = str(info["redis_version"])
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < OLDEST_VERSION:
        return fail("version", f"Redis {version} is too old: 6.2 or newer is needed", "update the server")
    other = info.get("server_name", "redis")
    if other != "redis":
        return ok("version", f"{other} {info.get(f'{other}_version', '')}, which speaks Redis {version}")
    return ok("version", f"redis {version}")


def _mode(info: Info) -> Check:
    if info["role"] != "master":
        hint = "point COPYTRADE_REDIS_DSN to the primary, or to the sentinels: sentinel://host:port,host:port/master"
        return fail("mode", f"this server is a {info['role']}: it takes no changes", hint)
    if int(info.get("cluster_enabled", 0)):
        hint = "use a server, or servers behind Sentinel, that are not in cluster mode"
        return fail("mode", "cluster mode is on: the queue's scripts need all keys on one server", hint)
    return ok("mode", f"primary, with {int(info.get('connected_slaves', 0))} replicas")


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


def _memory(info: Info) -> Check:
    used, most = int(info["used_memory"]), int(info.get("maxmemory", 0))
    if not most:
        return ok("memory", f"{used / _MIB:.0f} MiB in use, without a bound of its own")
    part = used / most
    detail = f"{used / _MIB:.0f} of {most / _MIB:.0f} MiB in use ({part:.0%})"
    hint = "raise maxmemory, lower COPYTRADE_RESULT_TTL_S, or drop dead letters; a full Redis refuses changes"
    if part >= FULL:
        return fail("memory", detail, hint)
    if part >= ALMOST_FULL:
        return warn("memory", detail, hint)
    return ok("memory", detail)


@dataclass(frozen=True, slots=True)
class _Rule:
    """A judgement, and the field without which it cannot be made."""

    name: str
    field: str
    judge: Callable[[Info], Check]


_RULES = (
    _Rule("version", "redis_version", _version),
    _Rule("mode", "role", _mode),
    _Rule("eviction", "maxmemory_policy", _eviction),
    _Rule("persistence", "aof_enabled", _persistence),
    _Rule("memory", "used_memory", _memory),
)


def _told(rule: _Rule, info: Info) -> bool:
    return str(info.get(rule.field, "")) != ""


def _judged(rule: _Rule, info: Info) -> Check:
    if not _told(rule, info):
        return warn(rule.name, f"the server does not tell its {rule.field}", "ask whoever runs it")
    try:
        return rule.judge(info)
    except (ValueError, TypeError, KeyError):
        return warn(rule.name, f"the server tells its {rule.field} in an unknown way", "ask whoever runs it")
