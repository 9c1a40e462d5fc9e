"""What is sent as one request: a lane's head, with those behind it that asked to join. No I/O.

A setting replaces an older one of the same (symbol, productType); others are added, up to the ten that a request may
hold. Whoever cannot join ends the group, for the order of the lane stays what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from producers.contract import keyspace
from producers.contract.codec import StoredChange, decode_change
from producers.contract.messages import CopySetting, SettingsChange
from producers.contract.validation import MAX_SETTINGS, check
from producers.errors import InvalidChange, MalformedChange


@dataclass(frozen=True, slots=True)
class CoalescedChange:
    """One change of a group.

    Attributes:
        job_id: its ID.
        stored: the change.
        successor: the member that replaced its last setting; None if something of it is sent.
    """

    job_id: str
    stored: StoredChange
    successor: str | None = None

    @property
    def deadline_ms(self) -> int:
        """When it expires, Unix milliseconds, Redis's clock."""
        return self.stored.et + self.stored.k.ttl_ms


@dataclass(frozen=True, slots=True)
class Group:
    """What is sent as one request.

    Attributes:
        change: what is sent.
        members: whose it is, in the lane's order, the head first.
    """

    change: SettingsChange
    members: tuple[CoalescedChange, ...]


def coalesce(head: CoalescedChange, coalescable: Iterable[tuple[str, bytes]], now_ms: int) -> Group:
    """The head with as many of those behind it as fit.

    Args:
        head: the head, checked.
        coalescable: job ID and payload of those behind it, in their order.
        now_ms: Unix milliseconds, Redis's clock; what has expired does not join.
    """
    change = head.stored.a[0]
    members = [head]
    settings = {_pair(setting): setting for setting in change.settings}
    owners = dict.fromkeys(settings, 0)
    for job_id, payload in coalescable:
        member = _joiner(change, job_id, payload, now_ms)
        if member is None:
            break
        added = {_pair(setting): setting for setting in member.stored.a[0].settings}
        if len(settings.keys() | added.keys()) > MAX_SETTINGS:
            break
        number = len(members)
        members.append(member)
        superseded = {owners[pair] for pair in added if pair in owners}
        settings |= added
        owners |= dict.fromkeys(added, number)
        for loser in superseded - set(owners.values()):
            members[loser] = replace(members[loser], successor=job_id)
    if len(members) == 1:
        return Group(change, (head,))
    return Group(msgspec.structs.replace(change, settings=list(settings.values())), tuple(members))


def _joiner(change: SettingsChange, job_id: str, payload: bytes, now_ms: int) -> CoalescedChange | None:
    """The change behind, if it asked to join, could be sent itself, and differs in nothing but settings."""
    try:
        member = CoalescedChange(job_id, decode_change(payload))
        other = member.stored.a[0]
        check(other)
    except (MalformedChange, InvalidChange):
        return None
    same_lane = keyspace.lane(change.user_id, change.trader_id) == keyspace.lane(other.user_id, other.trader_id)
    same_rest = (change.auto_copy, change.mode) == (other.auto_copy, other.mode)
    asked = member.stored.k.coalesce is True
    return member if asked and same_lane and same_rest and now_ms < member.deadline_ms else None


def _pair(setting: CopySetting) -> tuple[str, str]:
    return setting.symbol, setting.product_type
