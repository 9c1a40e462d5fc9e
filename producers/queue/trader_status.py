"""The plan that reads what is known of a trader: its pause, and what that holds back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from producers.contract import keyspace
from producers.contract.keyspace import Keyspace
from producers.contract.stored_values import unix_ms
from producers.contract.validation import check_id
from producers.queue.pauses import Scope
from producers.transport.commands import HGET, SCARD
from producers.transport.plan import Plan, Transaction


@dataclass(frozen=True, slots=True)
class TraderStatus:
    """The status of a trader.

    Attributes:
        trader_id: the trader.
        paused_since_ms: since when it is paused, Unix milliseconds, Redis's clock; None if it is not.
        parked_lanes: how many lanes wait for the end of its pause: those that were due meanwhile. After it was resumed,
            those that are not made due yet.
    """

    trader_id: str
    paused_since_ms: int | None
    parked_lanes: int


def merge_trader_status(parts: Sequence[TraderStatus]) -> TraderStatus:
    """Return the status of a trader from those of several shards."""
    since_ms = min((part.paused_since_ms for part in parts if part.paused_since_ms is not None), default=None)
    return TraderStatus(parts[0].trader_id, since_ms, sum(part.parked_lanes for part in parts))


def trader_status(keys: Keyspace, trader_id: str) -> Plan[TraderStatus]:
    """Return the status of a trader.

    Raises:
        InvalidId: the trader ID cannot be one.
    """
    trader = keyspace.escape(check_id("trader_id", trader_id))
    since_ms, parked = yield from Transaction(
        HGET(keys.paused, Scope("trader", trader_id).field), SCARD(keys.parked + trader)
    )
    return TraderStatus(trader_id, None if since_ms is None else unix_ms(since_ms), parked)
