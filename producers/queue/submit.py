"""The step that appends changes to their lanes, with its options and its verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from producers.contract import keyspace
from producers.contract.codec import change_digest, encode_change
from producers.contract.messages import Priority, SettingsChange
from producers.queue.submit_messages import SUBMIT, ChangeRow, SubmitRequest
from producers.settings import REDIS_FULL_PERCENT
from producers.transport.plan import RunScript
from producers.transport.script_messages import encode
from producers.transport.scripts import Argument


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """Options of all changes of a submission.

    Attributes:
        lane_limit: how many changes a lane may hold.
        priority: the priority of the changes.
        coalesce: whether they may be sent in one request with the changes before them.
        batch_id: their batch; "" for none.
        content: digest of the batch's content.
        full_percent: share of Redis's `maxmemory` from which on changes are refused.
    """

    lane_limit: int
    priority: Priority = Priority.INTERACTIVE
    coalesce: bool = False
    batch_id: str = ""
    content: str = ""
    full_percent: float = REDIS_FULL_PERCENT


@dataclass(frozen=True, slots=True)
class Submission:
    """A change to submit.

    Attributes:
        job_id: the change's ID.
        user: its user, escaped.
        trader: its trader, escaped.
        payload: the change as it is stored; None for a change of the run's template.
        digest: of its content; "" for a change of the template.
        dead_letter_id: job ID of the dead letter that it replays, which is deleted with it; "" for none.
    """

    job_id: str
    user: str
    trader: str
    payload: bytes | None
    digest: str = ""
    dead_letter_id: str = ""

    @property
    def lane(self) -> str:
        """The name of its lane."""
        return f"{self.user}:{self.trader}"

    @property
    def user_id(self) -> str:
        """The ID of its user."""
        return keyspace.unescape(self.user)

    @property
    def trader_id(self) -> str:
        """The ID of its trader."""
        return keyspace.unescape(self.trader)

    @classmethod
    def from_change(
        cls,
        change: SettingsChange,
        job_id: str,
        options: SubmitOptions,
        *,
        now_ms: int,
        ttl_ms: int,
        dead_letter_id: str = "",
        traceparent: str = "",
    ) -> Submission:
        """Encode a valid change; `now_ms` is Redis's clock, Unix milliseconds."""
        digest = change_digest(change)
        payload = encode_change(
            change,
            enqueued_at_ms=now_ms,
            ttl_ms=ttl_ms,
            coalesce=options.coalesce,
            priority=options.priority,
            digest=digest,
            traceparent=traceparent,
        )
        user, trader = keyspace.escape(change.user_id), keyspace.escape(change.trader_id)
        return cls(job_id, user, trader, payload, digest, dead_letter_id)


@dataclass(frozen=True, slots=True)
class TemplateRun:
    """A run of a fan-out whose changes share a template.

    Attributes:
        template: the change of a placeholder, as it is stored.
        trader: the template's trader, escaped.
        enqueued_ms: when its changes are enqueued, Unix milliseconds, Redis's clock.
        ttl_ms: their TTL.
    """

    template: bytes
    trader: str
    enqueued_ms: int
    ttl_ms: int

    @classmethod
    def from_change(cls, template: SettingsChange, options: SubmitOptions, *, now_ms: int, ttl_ms: int) -> TemplateRun:
        """Encode the template of a run that begins now."""
        payload = encode_change(
            template, enqueued_at_ms=now_ms, ttl_ms=ttl_ms, coalesce=options.coalesce, priority=options.priority
        )
        return cls(payload, keyspace.escape(template.trader_id), now_ms, ttl_ms)


class ChunkDigest(NamedTuple):
    """Identifies a chunk that must have the same content in every run of its batch.

    Attributes:
        name: the chunk's field in the batch's hash; "" for none.
        digest: of all content up to the chunk's end, so that runs which differ once differ in every later chunk.
    """

    name: str = ""
    digest: str = ""


NO_DIGEST = ChunkDigest()


def submit(
    submissions: Sequence[Submission],
    options: SubmitOptions,
    *,
    chunk: ChunkDigest = NO_DIGEST,
    previous: ChunkDigest = NO_DIGEST,
    run: TemplateRun | None = None,
    traceparent: str = "",
) -> RunScript[list[int]]:
    """Return the step that submits a chunk. Its reply is the time (Unix ms, Redis's clock), then a verdict per change.

    Args:
        submissions: the changes; all of them replay dead letters, or none does.
        options: the options of all of them.
        chunk: identifies the chunk, if its content must be the same in every run.
        previous: identifies the chunk before it.
        run: the run whose template those without a payload have.
        traceparent: the trace context of their batch; "" for none.
    """
    further: list[Argument] = [submission.payload for submission in submissions if submission.payload is not None]
    number = 0
    rows = []
    for submission in submissions:
        has_payload = submission.payload is not None
        number += has_payload
        rows.append(
            ChangeRow(
                submission.user,
                submission.trader,
                submission.job_id,
                number if has_payload else 0,
                submission.digest,
                submission.dead_letter_id,
            )
        )
    if run is not None:
        further.append(run.template)
    request = SubmitRequest(
        lane_limit=options.lane_limit,
        is_bulk=int(options.priority is Priority.BULK),
        is_coalescable=int(options.coalesce),
        batch_id=options.batch_id,
        content=options.content,
        chunk=chunk.name,
        chunk_digest=chunk.digest,
        previous_chunk=previous.name,
        previous_digest=previous.digest,
        full_percent=f"{options.full_percent:g}",
        template=0 if run is None else len(further),
        run="" if run is None else f"{run.enqueued_ms},{run.ttl_ms}",
        changes=rows,
        traceparent=traceparent,
    )
    # Job IDs make it idempotent; but a second run of a replay would find the dead letters gone.
    is_replay = any(submission.dead_letter_id for submission in submissions)
    return RunScript(SUBMIT, [encode(request), *further], idempotent=not is_replay)
