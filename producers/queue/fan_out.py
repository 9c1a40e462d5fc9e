"""What a fan-out is: one template for many users, or changes of their own; and what came of it. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from producers.contract.keyspace import BATCH_MARK
from producers.contract.messages import AutoCopy, CopySetting, Mode, SettingsChange
from producers.contract.validation import MAX_ID_CHARS, check, check_new_id, check_user_id
from producers.errors import InvalidArgument, InvalidChange, Refusal, abbreviated
from producers.queue.chunking import ChunkedSubmission, content_digest, item_user_id

Items = Iterable[Any] | AsyncIterable[Any]


@dataclass(frozen=True, slots=True)
class FanOutReport:
    """What became of the items of a fan-out.

    Attributes:
        batch_id: the batch.
        given: how many items there were.
        accepted: how many changes are in their lanes by this call.
        already_there: how many were accepted before: by an earlier run, or because a user was given twice.
        refused: the others, and why.
    """

    batch_id: str
    given: int
    accepted: int
    already_there: int
    refused: list[Refusal]

    @classmethod
    def from_submission(cls, batch_id: str, chunked: ChunkedSubmission) -> FanOutReport:
        """The account of an intake."""
        refused = sorted(chunked.refused, key=lambda refusal: refusal.index)
        return cls(batch_id, chunked.item_count, chunked.accepted, chunked.already_there, refused)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a fan-out would send; nothing was written.

    Attributes:
        changes: in the order given.
        refused: what would not be accepted, and why.
    """

    changes: list[SettingsChange]
    refused: list[Refusal]


@dataclass(frozen=True, slots=True)
class ChangeParser:
    """Changes with IDs of the caller's choice, or new ones."""

    new_id: Callable[[], str]
    job_id: Callable[[SettingsChange], str] | None

    def parse(self, _index: int, item: SettingsChange) -> tuple[SettingsChange, str]:
        """See Source."""
        check(item)
        return item, self.new_id() if self.job_id is None else check_new_id(self.job_id(item))


@dataclass(frozen=True, slots=True)
class TemplateParser:
    """One template for many users. A user's change has one ID in every run, whatever the order of the users."""

    batch_id: str
    template: SettingsChange

    def parse(self, _index: int, item: str) -> tuple[SettingsChange, str]:
        """See Source."""
        check_user_id(item)  # the template was checked once
        change: SettingsChange = msgspec.structs.replace(self.template, user_id=item)
        return change, member_job_id(self.batch_id, item)


@dataclass(frozen=True, slots=True)
class IndexedChangeParser:
    """Changes of their own; the place of each is its ID in every run."""

    batch_id: str

    def parse(self, index: int, item: SettingsChange) -> tuple[SettingsChange, str]:
        """See Source."""
        check(item)
        return item, member_job_id(self.batch_id, str(index))


@dataclass(frozen=True, slots=True)
class FanOut:
    """What was asked for.

    Attributes:
        items: user IDs, or changes.
        template: what each user gets; None if the items are changes.
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
        """The fan-out of `Producer.fan_out`'s arguments.

        Raises:
            InvalidChange: the template breaks a rule.
            InvalidArgument: `user_ids` is a single ID.
            TypeError: neither `changes`, nor `trader_id`, `settings` and `user_ids`, or both.
        """
        parts = (trader_id, settings, user_ids)
        if changes is not None and all(part is None for part in (*parts, auto_copy, mode)):
            return cls(changes, None)
        if changes is not None or trader_id is None or settings is None or user_ids is None:
            raise TypeError("fan_out needs either changes=, or trader_id=, settings= and user_ids=")
        if isinstance(user_ids, str | bytes):
            raise InvalidArgument(
                f"user_ids: must be an iterable of user IDs, not a single ID; got {abbreviated(user_ids)}"
            )
        template = SettingsChange(
            user_id="template", trader_id=trader_id, auto_copy=auto_copy, mode=mode, settings=list(settings)
        )
        check(template)
        return cls(user_ids, template)

    @property
    def content(self) -> str:
        """What two runs of one batch must have in common; chunks of changes are compared besides."""
        return "changes" if self.template is None else content_digest(self.template)

    def parser(self, batch_id: str) -> TemplateParser | IndexedChangeParser:
        """What its items mean."""
        return IndexedChangeParser(batch_id) if self.template is None else TemplateParser(batch_id, self.template)


def preview(fan_out: FanOut, items: Iterable[Any]) -> Preview:
    """What would be sent, and what would not be accepted."""
    found = Preview([], [])
    parser = fan_out.parser("")
    for index, item in enumerate(items):
        try:
            change, _ = parser.parse(index, item)
        except InvalidChange as exc:
            found.refused.append(Refusal(index, exc, item_user_id(item)))
        else:
            found.changes.append(change)
    return found


def member_job_id(batch_id: str, rest: str) -> str:
    """The job ID of a batch's change. A user too long for one is told by a digest."""
    job_id = f"{batch_id}{BATCH_MARK}{rest}"
    if len(job_id) <= MAX_ID_CHARS:
        return job_id
    return f"{batch_id}{BATCH_MARK}{hashlib.sha256(rest.encode()).hexdigest()[:32]}"
