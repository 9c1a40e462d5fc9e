"""Splits many changes into chunks to submit, and counts the verdicts in the replies. No I/O; the clock is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast

from producers.contract.keyspace import escape
from producers.contract.messages import SettingsChange
from producers.contract.shards import shard_of
from producers.contract.validation import check_change, check_new_id
from producers.contract.wording import plural
from producers.errors import BatchConflict, ChangeConflict, InvalidChange, InvalidId, LaneFull, Refusal
from producers.queue.chunks import Chunk, Entry, ShardChunks
from producers.queue.submit import NO_DIGEST, Submission, SubmitOptions, TemplateRun, submit
from producers.queue.submit_messages import SubmitVerdict
from producers.tracing import NOT_TRACED, Sending
from producers.transport.plan import RunScript

CONFLICTS = {
    SubmitVerdict.OTHER_CONTENT: "it was begun with other content",
    SubmitVerdict.SEALED: "it is sealed: all of it was submitted, and this would add to it",
    SubmitVerdict.CANCELLED: "it was cancelled and accepts nothing more",
}
"""The verdicts on a whole chunk, each with its reason in words."""

Handle = TypeVar("Handle")


@dataclass(slots=True)
class EnqueueReport(Generic[Handle]):
    """The result of `enqueue_many`.

    Attributes:
        jobs: handles to the accepted changes, in the given order.
        refused: the other changes, and why.
    """

    jobs: list[Handle] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


class ParsedItem(NamedTuple):
    """An item of a submission.

    Attributes:
        job_id: the ID of its change.
        user_id: its user.
        change: its change; None if it is the template's, for this user.
    """

    job_id: str
    user_id: str
    change: SettingsChange | None


ItemParser = Callable[[int, Any], ParsedItem]
"""Parses an item and its index. Raises InvalidChange or InvalidId."""


def change_parser(new_id: Callable[[], str], job_id: Callable[[SettingsChange], str] | None) -> ItemParser:
    """Return a parser of changes of no batch: their IDs come from `job_id` if it is given, else from `new_id`."""

    def parse(_index: int, change: SettingsChange) -> ParsedItem:
        check_change(change)
        return ParsedItem(new_id() if job_id is None else check_new_id(job_id(change)), change.user_id, change)

    return parse


Accepted: TypeAlias = tuple[int, str, bool, int]
"""A change that is in its lane: the index of its item, its job ID, whether it was accepted before, the number of its
shard. A plain tuple, since there may be millions."""


@dataclass(slots=True)
class ChunkedSubmission:
    """Collects items into chunks, and counts the verdicts on them.

    Attributes:
        parser: turns items into changes.
        options: the options of all changes.
        ttl_ms: how long after now each change expires.
        now_ms: returns the time of the clock of a shard's Redis, Unix milliseconds.
        hashed: whether chunks carry digests, so that every run must have the same chunks.
        template: the change that items without one of their own have in common; None if there are none.
        shards: how many shards the queue has.
        sending: how the changes are traced.
        item_count: how many items were added.
        accepted: how many changes were appended to their lanes.
        already_there: how many changes were accepted before.
        refused: the items that were not accepted, and why.
        lane_full_count: how many of those were refused because their lane was full.
    """

    parser: ItemParser
    options: SubmitOptions
    ttl_ms: int
    now_ms: Callable[[int], int]
    hashed: bool
    template: SettingsChange | None = None
    shards: int = 1
    sending: Sending = NOT_TRACED
    item_count: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    already_there: int = field(default=0, init=False)
    refused: list[Refusal] = field(default_factory=list, init=False)
    lane_full_count: int = field(default=0, init=False)
    _parts: list[ShardChunks] = field(init=False)

    def __post_init__(self) -> None:
        self._parts = [ShardChunks(number) for number in range(self.shards)]

    def shard_of(self, item: Any) -> int:
        """Return the number of the shard that an item goes to; that of one without a user may be any."""
        return shard_of(item_user_id(item) or "", self.shards) if self.shards > 1 else 0

    def add(self, item: Any) -> Chunk | None:
        """Add an item; return the chunk that it completes, if any. The clock of its shard must be known."""
        index = self.item_count
        self.item_count += 1
        part = self._parts[self.shard_of(item)]
        entry = None
        try:
            parsed = self.parser(index, item)
        except (InvalidChange, InvalidId) as exc:
            self.refused.append(Refusal(index, exc, item_user_id(item)))
        else:
            entry = Entry(index, self._submission(parsed, part), parsed.change)
        return part.add(entry)

    def _submission(self, item: ParsedItem, part: ShardChunks) -> Submission:
        if item.change is None:
            return Submission(item.job_id, escape(item.user_id), self._template_run(part).trader, None)
        job_id, now_ms, trace = item.job_id, self.now_ms(part.shard), self.sending.begin(item.job_id)
        return Submission.from_change(
            item.change, job_id, self.options, now_ms=now_ms, ttl_ms=self.ttl_ms, traceparent=trace
        )

    def _template_run(self, part: ShardChunks) -> TemplateRun:
        """Return the run of the template in a shard, which begins with its first change."""
        if part.run is None:
            template, now_ms = cast("SettingsChange", self.template), self.now_ms(part.shard)
            part.run = TemplateRun.from_change(template, self.options, now_ms=now_ms, ttl_ms=self.ttl_ms)
        return part.run

    def flush(self) -> list[Chunk]:
        """Return the chunks that are not complete yet."""
        return [chunk for part in self._parts if (chunk := part.flush()) is not None]

    def step(self, chunk: Chunk) -> RunScript[list[int]]:
        """Return the step that submits a chunk. Call it once for each chunk, in order: digests are chained."""
        part = self._parts[chunk.shard]
        digest, previous = part.digests(chunk) if self.hashed else (NO_DIGEST, NO_DIGEST)
        submissions, trace = [entry.submission for entry in chunk.entries], self.sending.traceparent
        return submit(submissions, self.options, chunk=digest, previous=previous, run=part.run, traceparent=trace)

    def describe_accepted(self) -> str:
        """Return what was accepted so far, for the message of an error after which no change is in doubt."""
        accepted = self.accepted + self.already_there
        return f"{accepted} changes were accepted, the others were not" if accepted else "nothing was written"

    def apply_reply(self, chunk: Chunk, reply: list[int]) -> list[Accepted]:
        """Count the verdicts on a chunk.

        Returns:
            The changes that are in their lanes.

        Raises:
            BatchConflict: the batch accepts nothing of the chunk.
        """
        accepted = []
        for entry, verdict in zip(chunk.entries, reply[1:], strict=True):
            if verdict in CONFLICTS:
                raise conflict_error(self.options.batch_id, SubmitVerdict(verdict), self.accepted)
            error = refusal_error(verdict, entry.submission, self.options)
            if error is not None:
                self.refused.append(Refusal(entry.index, error, entry.submission.user_id))
                self.lane_full_count += verdict == SubmitVerdict.LANE_FULL
                continue
            already_there = verdict == SubmitVerdict.ALREADY_THERE
            self.already_there += already_there
            self.accepted += not already_there
            accepted.append((entry.index, entry.submission.job_id, already_there, chunk.shard))
        return accepted


def conflict_error(batch_id: str, verdict: SubmitVerdict, accepted: int = 0) -> BatchConflict:
    """Return the error for a verdict on a whole chunk; `accepted` changes were added before it."""
    done = f"{plural(accepted, 'change')} before that had been added" if accepted else "nothing was changed"
    return BatchConflict(f"batch {batch_id}: {CONFLICTS[verdict]}; {done}. Use another batch ID")


def lane_full_error(user_id: str, trader_id: str, lane_limit: int) -> LaneFull:
    """Return the error for a lane that holds as many changes as it may."""
    return LaneFull(
        f"the lane of user {user_id} and trader {trader_id} holds"
        f" {plural(lane_limit, 'change')}; enqueue again when it has drained"
    )


def refusal_error(
    verdict: int, submission: Submission, options: SubmitOptions
) -> LaneFull | InvalidId | ChangeConflict | None:
    """Return the error for a verdict that refuses one change; None for other verdicts."""
    match verdict:
        case SubmitVerdict.LANE_FULL:
            return lane_full_error(submission.user_id, submission.trader_id, options.lane_limit)
        case SubmitVerdict.FOREIGN_ID:
            rule = "is in use for a control job, or for another arq app's job in this database; choose another"
            return InvalidId("job_id", rule, submission.job_id)
        case SubmitVerdict.OTHER_CHANGE:
            return ChangeConflict(
                f"change {submission.job_id} was accepted before with other content; nothing was written."
                " Enqueue under another job ID"
            )
    return None


def item_user_id(item: object) -> str | None:
    """Return the user of an item, None if it has none that can be read."""
    user_id = item.user_id if isinstance(item, SettingsChange) else item
    return user_id if isinstance(user_id, str) else None
