"""What a run needs of the server: a single one (valkey.py), or a cluster (cluster.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from redis.asyncio import Redis

from ops.chaos.lost import Lost
from ops.chaos.schedule import Event

Handler = Callable[[Event], Awaitable[None]]
"""Carries an event out, and returns when it is over."""


class Server(Protocol):
    """A server that faults befall.

    Attributes:
        in_cluster: whether it is a cluster, whose keys have a tag.
        dsn: its address with its password.
    """

    in_cluster: bool
    dsn: str

    @property
    def lost(self) -> Lost:
        """What its replicas had not got when they took over."""
        ...

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        ...

    async def stop(self) -> None:
        """Stop it for good."""
        ...

    def faults(self, redis: Redis) -> Mapping[str, Handler]:
        """Return what carries out each kind of event of its own. One is carried out at a time.

        Args:
            redis: a client of it.
        """
        ...

    @property
    def logs(self) -> list[Path]:
        """Its logs."""
        ...

    @property
    def histories(self) -> list[Path]:
        """The files of everything that was ever stored."""
        ...

    def results_written(self) -> Counter[str] | None:
        """Return how often each result was written, by job ID; None if its history does not tell."""
        ...
