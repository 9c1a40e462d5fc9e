"""Which changes are sent as one request: a lane's head, and those behind it that may be sent with it. No I/O.

A setting replaces an older one of the same (symbol, productType); others are added, up to the ten that a request may
hold. The first change that cannot be included ends the request, so that the lane's order is kept.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from producers.contract import ids, keyspace
from producers.contract.codec import MAX_PAYLOAD_BYTES, StoredChange, decode_change
from producers.contract.messages import CopySetting, SettingsChange
from producers.contract.templates import change_of_template
from producers.contract.validation import MAX_SETTINGS, check_change
from producers.errors import InvalidChange, MalformedChange
from worker.queue.claims import Stored


class CoalescedChange(msgspec.Struct, frozen=True):
    """One of the changes of a request.

    Attributes:
        job_id: Its ID.
        stored: The change.
        successor: Job ID of the change that replaced its last remaining setting; None if any of its settings is sent.
        has_expired: Whether its deadline has passed: nothing of it is sent, and it ends with the others.
        template_of: The batch whose template it is; None for others.
    """

    job_id: str
    stored: StoredChange
    successor: str | None = None
    has_expired: bool = False
    template_of: str | None = None

    @classmethod
    def from_stored(cls, job_id: str, stored: Stored, lane: str) -> CoalescedChange:
        """Decode a stored change of a lane.

        Raises:
            MalformedChange: it is absent, or cannot be read.
        """
        if stored.content is None:
            raise MalformedChange(f"its payload is absent, not a string, or above {MAX_PAYLOAD_BYTES} bytes")
        if not stored.is_template:
            return cls(job_id, decode_change(stored.content))
        user_id, _ = keyspace.user_and_trader(lane)
        change = change_of_template(stored.content, user_id, stored.enqueued_ms, stored.ttl_ms)
        return cls(job_id, change, template_of=ids.batch_id_of(job_id))

    @property
    def deadline_ms(self) -> int:
        """When the change expires, Unix milliseconds, Redis's clock."""
        return self.stored.et + self.stored.k.ttl_ms


class CoalescedRequest(msgspec.Struct, frozen=True):
    """What is sent as one request.

    Attributes:
        change: What is sent.
        members: The changes in it, in the lane's order, the head first.
    """

    change: SettingsChange
    members: tuple[CoalescedChange, ...]

    @property
    def is_alone(self) -> bool:
        """Whether only the head is sent."""
        return all(member.has_expired for member in self.members[1:])


def coalesce(head: CoalescedChange, coalescable: Iterable[tuple[str, Stored]], now_ms: int) -> CoalescedRequest:
    """Combine the head with as many of the changes behind it as fit.

    Args:
        head: The head, already validated.
        coalescable: Job ID and stored change of those behind it, in their order.
        now_ms: Unix milliseconds, Redis's clock. Of expired changes nothing is sent. But they take their place, so that
            a repetition carries what the first request did, and no newer change instead of them.
    """
    change = head.stored.a[0]
    members = [head]
    settings = {_pair(setting): setting for setting in change.settings}
    owners = dict.fromkeys(settings, 0)
    pairs = set(settings)
    for job_id, stored in coalescable:
        member = _decode_member(change, job_id, stored)
        if member is None:
            break
        added = {_pair(setting): setting for setting in member.stored.a[0].settings}
        pairs |= added.keys()
        if len(pairs) > MAX_SETTINGS:
            break
        number = len(members)
        if now_ms >= member.deadline_ms:
            members.append(msgspec.structs.replace(member, has_expired=True))
            continue
        members.append(member)
        replaced = {owners[pair] for pair in added if pair in owners}
        settings |= added
        owners |= dict.fromkeys(added, number)
        for superseded in replaced - set(owners.values()):
            members[superseded] = msgspec.structs.replace(members[superseded], successor=job_id)
    if len(members) == 1:
        return CoalescedRequest(change, (head,))
    return CoalescedRequest(msgspec.structs.replace(change, settings=list(settings.values())), tuple(members))


def _decode_member(change: SettingsChange, job_id: str, stored: Stored) -> CoalescedChange | None:
    """Return a change behind the head if it may be sent with it: it differs from `change` in nothing but settings."""
    try:
        lane = keyspace.lane(change.user_id, change.trader_id)
        member = CoalescedChange.from_stored(job_id, stored, lane)
        other = member.stored.a[0]
        check_change(other)
    except (MalformedChange, InvalidChange):
        return None
    same_lane = lane == keyspace.lane(other.user_id, other.trader_id)
    same_rest = (change.auto_copy, change.mode) == (other.auto_copy, other.mode)
    may_coalesce = member.stored.k.coalesce is True
    return member if may_coalesce and same_lane and same_rest else None


def _pair(setting: CopySetting) -> tuple[str, str]:
    return setting.symbol, setting.product_type
