"""Where the time of Redis goes: by script from SLOWLOG, by command from INFO. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ops.bench.redis_load import Load
from producers.contract.keyspace import Keyspace
from producers.queue.submit_messages import SUBMIT
from worker.queue.claim import CLAIM
from worker.queue.renewal import RENEW
from worker.queue.settle import SETTLE

SCRIPTS = {
    "script submit, of the producer": SUBMIT,
    "script claim": CLAIM,
    "script settle": SETTLE,
    "script renew": RENEW,
}
OTHER_SCRIPTS, OUTSIDE = "other scripts", "other commands, reading and replying"
LUA, OTHER_COMMANDS = "Lua, and calling commands from it", "other commands"
SCRIPT_COMMANDS = ("evalsha", "eval")
LOGGED_BYTES = 100
"""SLOWLOG cuts an argument after 128 bytes, or somewhat before; so many of a script's text tell which it is."""

LARGEST = 9
"""Commands with a row of their own."""


def by_script(entries: Sequence[Mapping[str, Any]], keyspace: Keyspace, total_us: float) -> dict[str, float]:
    """Return microseconds by script.

    Args:
        entries: of SLOWLOG; commands inside scripts may be among them.
        keyspace: of the queue.
        total_us: the CPU time of Redis; what no script took of it is a row of its own, if it is known.
    """
    known: dict[bytes, str] = {}
    for name, script in SCRIPTS.items():
        bound = script.bind(keyspace)
        known |= {bound.sha.encode(): name, bound.text.encode()[:LOGGED_BYTES]: name}
    times_us: Counter[str] = Counter()
    for entry in entries:
        command, _, arguments = entry["command"].partition(b" ")
        if command.upper() in (b"EVALSHA", b"EVAL"):
            called = arguments.partition(b" ")[0] if command.upper() == b"EVALSHA" else arguments[:LOGGED_BYTES]
            times_us[known.get(called, OTHER_SCRIPTS)] += entry["duration"]
    outside_us = total_us - times_us.total()
    return _within(times_us, total_us) | ({OUTSIDE: outside_us} if outside_us > 0 else {})


def by_command(before: Mapping[str, Any], after: Mapping[str, Any], total_us: float) -> dict[str, float]:
    """Return microseconds inside scripts by command, between two replies to INFO; the rest of scripts is Lua's.

    Commands outside of scripts are among them: while a queue drains they are very few. `total_us` is the CPU time.
    """
    start = "cmdstat_"
    times_us = Counter(
        {
            name.removeprefix(start): statistics["usec"] - before.get(name, {"usec": 0})["usec"]
            for name, statistics in after.items()
            if name.startswith(start)
        }
    )
    scripts_us = sum(times_us.pop(name, 0) for name in SCRIPT_COMMANDS)
    inside_us = {name: us for name, us in times_us.items() if name not in ("info", "slowlog|reset", "slowlog|get")}
    largest = dict(Counter(inside_us).most_common(LARGEST))
    others_us = sum(inside_us.values()) - sum(largest.values())
    named = {name.upper(): float(us) for name, us in largest.items()}
    lua_us = max(0.0, scripts_us - sum(inside_us.values()))
    return _within({**named, OTHER_COMMANDS: others_us, LUA: lua_us}, total_us)


def _within(times_us: Mapping[str, float], total_us: float) -> dict[str, float]:
    """Return times that are not more than the CPU time together.

    Redis measures the time that passes. It is more if the system gave Redis's core to another program meanwhile, which
    happens to all commands alike.
    """
    scale = min(1.0, total_us / (sum(times_us.values()) or 1.0))
    return {name: scale * us for name, us in times_us.items()}


def cpu_us(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Return the CPU time of Redis between two replies to INFO, microseconds."""
    return Load.from_info(after).cpu_us - Load.from_info(before).cpu_us
