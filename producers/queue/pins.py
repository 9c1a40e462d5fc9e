"""Plans that pin users to egresses, and list the pins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from producers.contract import keyspace
from producers.contract.keyspace import Keyspace
from producers.contract.stored_values import read_each
from producers.contract.validation import check_id
from producers.queue.parts import LANES
from producers.queue.slicing import slices
from producers.transport.commands import HSCAN
from producers.transport.plan import Plan, RunScript
from producers.transport.script_messages import Message, encode
from producers.transport.scripts import Script

CHUNK_SIZE = 100
"""Users that one run pins: some 1 ms of Redis."""

PAGE_SIZE = 1000
"""Pins that one round trip reads, about."""


class PinRow(Message):
    """A user, and the egress that it is pinned to: both escaped; no egress, "", unpins it."""

    user: str
    egress: str


class PinRequest(Message):
    """What pin.lua is given: each user once."""

    rows: list[PinRow]


PIN = Script.load("producers.queue", "pin.lua", parts=LANES, request=PinRequest, runs_when_full=True)


class Pin(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A user that is pinned to an egress.

    Attributes:
        user_id: the user.
        egress: the only egress that its requests leave from.
    """

    user_id: str
    egress: str


class PinPage(NamedTuple):
    """Some pins, in no order.

    Attributes:
        pins: the pins. A user may be on two pages if pins change meanwhile.
        cursor: what the next page is asked for with; 0 after the last one.
        malformed: how many entries cannot be read.
    """

    pins: list[Pin]
    cursor: int
    malformed: int = 0

    def of_shard(self, number: int, shards: int) -> PinPage:
        """Return the page of one of several shards, with the cursor of a reader that goes through them all."""
        if self.cursor:
            return self._replace(cursor=self.cursor * shards + number)
        return self._replace(cursor=(number + 1) % shards)


def check_pins(pins: Mapping[str, str | None]) -> None:
    """Check pins before any is changed.

    Raises:
        InvalidId: a user ID or an egress's name cannot be one.
    """
    for user_id, egress in pins.items():
        check_id("user_id", user_id)
        if egress is not None:
            check_id("egress", egress)


def pin_users(pins: Mapping[str, str | None]) -> Plan[int]:
    """Pin users to egresses, or unpin them (None), in chunks; each is moved in one step. The pins were checked.

    Returns:
        How many pins have changed.
    """
    rows = [
        PinRow(keyspace.escape(user_id), "" if egress is None else keyspace.escape(egress))
        for user_id, egress in pins.items()
    ]
    changed = 0
    for chunk in slices(rows, CHUNK_SIZE):
        changed += yield from RunScript[int](PIN, [encode(PinRequest(list(chunk)))], idempotent=True)
    return changed


def list_pins(keys: Keyspace, cursor: int) -> Plan[PinPage]:
    """Return a page of pins."""
    following, entries = yield from HSCAN(keys.pins, cursor, "COUNT", PAGE_SIZE)
    pins = read_each(entries.items(), _read_pin)
    return PinPage(list(pins), int(following), pins.malformed)


def _read_pin(entry: tuple[bytes, bytes]) -> Pin:
    user, egress = entry
    return Pin(user_id=keyspace.unescape(user.decode()), egress=keyspace.unescape(egress.decode()))
