"""The scripts on a real server, with the time of the simulation."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError

from ops.keys import KEYS
from producers.transport.scripts import Argument, BoundScript, Script

EGRESSES = ("e", "f")
ANY = ""
"""Stands for a wake-up that workers of any egress take."""

POPS = {ANY: ("LPOP", KEYS.wakeups)} | {name: ("LPOP", KEYS.egress_wakeups + name) for name in EGRESSES}
_ASKED = "redis.call('TIME')"
_TOLD = "{tonumber(ARGV[#ARGV - 1]), tonumber(ARGV[#ARGV])}"


class SimulatedRedis:
    """Runs scripts at given times, each together with a pop of the wake-ups that it left."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self._connection: Any = client.connection_pool.get_connection()
        self._scripts: dict[Script, BoundScript] = {}

    def flush(self) -> None:
        """Delete everything."""
        self.client.flushall()

    def run(self, script: Script, arguments: list[Argument], now_us: int) -> tuple[Any, list[str]]:
        """Run a script at a time. Return its reply, and the egresses of which it woke a worker; `ANY` for any."""
        bound = self._scripts.get(script)
        if bound is None:
            text = script.bind(KEYS).text.replace(_ASKED, _TOLD)
            sha = str(self.client.script_load(text))
            bound = self._scripts[script] = BoundScript(text, sha, script.bind(KEYS).routing_keys)
        command = bound.command([*arguments, now_us // 1_000_000, now_us % 1_000_000])
        try:
            return self._execute(command)
        except NoScriptError:
            return self._execute(bound.command([*arguments, now_us // 1_000_000, now_us % 1_000_000], is_known=False))

    def _execute(self, command: tuple[Argument, ...]) -> tuple[Any, list[str]]:
        """Send the commands at once. A pipeline does the same in twice the time."""
        self._connection.send_packed_command(self._connection.pack_commands([command, *POPS.values()]))
        try:
            reply = self._connection.read_response()
        finally:
            popped = {name: self._connection.read_response() for name in POPS}
        return reply, [name for name, wakeup in popped.items() if wakeup is not None]

    def values(self, key: str) -> dict[bytes, bytes]:
        """Return a hash."""
        found: dict[bytes, bytes] = self.client.hgetall(key)  # type: ignore[assignment]  # sync client
        return found

    def keys(self, prefix: str) -> list[str]:
        """Return the names of the keys with a prefix."""
        return [key.decode() for key in self.client.keys(prefix + "*")]  # type: ignore[union-attr]  # sync client
