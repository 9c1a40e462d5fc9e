"""Commands that leave a wake-up for a worker: one for any worker, and one for a worker of an egress."""

from __future__ import annotations

from typing import Any

from producers.contract.keyspace import Keyspace, escape
from producers.transport.commands import LPUSH, LTRIM, PEXPIRE
from producers.transport.plan import Transaction

EGRESS_WAKEUP_TTL_MS = 60_000
"""Longer than any worker sleeps; a list of an egress that is no longer used goes by itself."""


def wake_worker(keys: Keyspace) -> Transaction[tuple[int, Any]]:
    """Return the transaction that wakes a worker, unless a wake-up waits already."""
    return Transaction(LPUSH(keys.wakeups, "1"), LTRIM(keys.wakeups, 0, 0))


def wake_egress(keys: Keyspace, egress: str) -> Transaction[tuple[int, Any, bool]]:
    """Return the transaction that wakes a worker of an egress."""
    name = keys.egress_wakeups + escape(egress)
    return Transaction(LPUSH(name, "1"), LTRIM(name, 0, 0), PEXPIRE(name, EGRESS_WAKEUP_TTL_MS))
