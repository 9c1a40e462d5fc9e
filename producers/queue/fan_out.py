"""A fan-out: one template for many users, or many different changes, and what became of them. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec

from producers.contract import keyspace
from producers.contract.ids import BATCH_MARK
from producers.contract.keyspace import Keyspace
from producers.contract.messages import AutoCopy, CopySetting, Mode, SettingsChange
from producers.contract.validation import MAX_ID_CHARS, check_change, check_user_id
from producers.errors import InvalidArgument, InvalidChange, Refusal
from producers.queue.chunking import (
    ChunkedSubmission,
    ItemParser,
    ParsedItem,
    item_user_id,
    lane_full_error,
)
from producers.queue.chunks import content_digest
from producers.queue.lanes import fetch_heads
from producers.queue.slicing import slices
from producers.queue.submit import SubmitOptions
from producers.transport.plan import Plan

LANE_BATCH_SIZE = 500
"""Lanes that are looked at in one round trip."""

Items = Iterable[Any] | AsyncIterable[Any]


@dataclass(frozen=True, slots=True)
class FanOutReport:
    """The result of a fan-out, by items.

    Attributes:
        batch_id: the batch.
        given: how many items there were.
        accepted: how many changes this call appended to their lanes.
        already_there: how many changes were accepted before: by an earlier run, or for a user who is listed twice.
        refused: the other items, and why.
    """

    batch_id: str
    given: int
    accepted: int
    already_there: int
    refused: list[Refusal]

    @classmethod
    def from_submission(cls, batch_id: str, chunked: ChunkedSubmission) -> FanOutReport:
        """Report on a submission so far."""
        refused = sorted(chunked.refused, key=lambda refusal: refusal.index)
        return cls(batch_id, chunked.item_count, chunked.accepted, chunked.already_there, refused)

    @classmethod
    def merged(cls, parts: Sequence[FanOutReport]) -> FanOutReport:
        """Return the report on the items of several reports: those of the first, then those of the next."""
        if len(parts) == 1:
            return parts[0]
        refused, given = [], 0
        for part in parts:
            refused += [replace(refusal, index=given + refusal.index) for refusal in part.refused]
            given += part.given
        accepted, already_there = sum(part.accepted for part in parts), sum(part.already_there for part in parts)
        return cls(parts[0].batch_id, given, accepted, already_there, refused)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a fan-out would enqueue; nothing was written.

    Attributes:
        changes: the changes, in the given order.
        refused: the items that would not be accepted, and why.
    """

    changes: list[SettingsChange]
    refused: list[Refusal]


def template_parser(batch_id: str, template: SettingsChange) -> ItemParser:
    """Return a parser of the users of a template. A user's job ID does not depend on the order of the users.

    A change whose job ID does not end with its user is stored with its settings, since nothing else tells its user.
    """
    prefix = batch_id + BATCH_MARK

    def parse(_index: int, user_id: str) -> ParsedItem:
        check_user_id(user_id)  # the template was checked once
        job_id = member_job_id(batch_id, user_id)
        if job_id == prefix + user_id:
            return ParsedItem(job_id, user_id, None)
        return ParsedItem(job_id, user_id, msgspec.structs.replace(template, user_id=user_id))

    return parse


def indexed_change_parser(batch_id: str) -> ItemParser:
    """Return a parser of the changes of a fan-out without a template. A job ID is made from the index of its change."""

    def parse(index: int, change: SettingsChange) -> ParsedItem:
        check_change(change)
        return ParsedItem(member_job_id(batch_id, str(index)), change.user_id, change)

    return parse


@dataclass(frozen=True, slots=True)
class FanOut:
    """The arguments of a fan-out.

    Attributes:
        items: user IDs if there is a template, else changes.
        template: the change for each user, with a placeholder as its user ID.
    """

    items: Items
    template: SettingsChange | None

    @classmethod
    def from_arguments(
        cls,
        changes: Items | None,
        *,
        trader_id: str | None,
        settings: Sequence[CopySetting] | None,
        user_ids: Items | None,
        auto_copy: AutoCopy | None,
        mode: Mode | None,
    ) -> FanOut:
        """Check the arguments of `Producer.fan_out`.

        Raises:
            InvalidChange: the template breaks a rule.
            InvalidArgument: `user_ids` is a single ID.
            TypeError: neither `changes` was given, nor all of `trader_id`, `settings` and `user_ids`; or both were.
        """
        parts = (trader_id, settings, user_ids)
        if changes is not None and all(part is None for part in (*parts, auto_copy, mode)):
            return cls(changes, None)
        if changes is not None or trader_id is None or settings is None or user_ids is None:
            raise TypeError("fan_out needs either changes=, or trader_id=, settings= and user_ids=")
        if isinstance(user_ids, str | bytes):
            raise InvalidArgument("user_ids", "must be an iterable of user IDs, not a single ID", user_ids)
        template = SettingsChange(
            user_id="template", trader_id=trader_id, auto_copy=auto_copy, mode=mode, settings=list(settings)
        )
        check_change(template)
        return cls(user_ids, template)

    @property
    def content(self) -> str:
        """The content that all runs of a batch share. Without a template, digests of the chunks are compared too."""
        return "changes" if self.template is None else content_digest(self.template)

    def change_of(self, item: ParsedItem) -> SettingsChange:
        """Return the change of an item."""
        if item.change is not None or self.template is None:
            return cast("SettingsChange", item.change)
        change: SettingsChange = msgspec.structs.replace(self.template, user_id=item.user_id)
        return change

    def parser(self, batch_id: str) -> ItemParser:
        """Return the parser of the items."""
        return indexed_change_parser(batch_id) if self.template is None else template_parser(batch_id, self.template)


def preview(fan_out: FanOut, items: Iterable[Any]) -> Preview:
    """Check all items of a fan-out without submitting them."""
    found = Preview([], [])
    parse = fan_out.parser("")
    for index, item in enumerate(items):
        try:
            parsed = parse(index, item)
        except InvalidChange as exc:
            found.refused.append(Refusal(index, exc, item_user_id(item)))
        else:
            found.changes.append(fan_out.change_of(parsed))
    return found


def refuse_full_lanes(keys: Keyspace, changes: Sequence[SettingsChange], options: SubmitOptions) -> Plan[list[Refusal]]:
    """Return a refusal of each change of a new batch whose lane is full, with the changes before it."""
    lanes = [keyspace.lane(change.user_id, change.trader_id) for change in changes]
    queued: dict[str, int] = {}
    for some in slices(list(dict.fromkeys(lanes)), LANE_BATCH_SIZE):
        heads = yield from fetch_heads(keys, some)
        queued |= {lane: 0 if head is None else head.changes for lane, head in zip(some, heads, strict=True)}
    refused = []
    for index, (change, lane) in enumerate(zip(changes, lanes, strict=True)):
        queued[lane] += 1
        if queued[lane] > options.lane_limit:
            refused.append(
                Refusal(index, lane_full_error(change.user_id, change.trader_id, options.lane_limit), change.user_id)
            )
    return refused


def member_job_id(batch_id: str, member: str) -> str:
    """Return the job ID of a batch's change. A digest replaces a user ID that is too long or has a slash."""
    job_id = f"{batch_id}{BATCH_MARK}{member}"
    if len(job_id) <= MAX_ID_CHARS and "/" not in member:
        return job_id
    return f"{batch_id}{BATCH_MARK}{hashlib.sha256(member.encode()).hexdigest()[:32]}"
