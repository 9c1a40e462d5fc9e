"""The attempts of a lane's head, stored between claims. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from producers.contract.messages import Attempt

MAX_ATTEMPTS = 20


class AttemptHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The history of a lane's head, and of the changes that were coalesced with it.

    Attributes:
        head: the job ID of the head.
        attempts: its requests, oldest first, the last 20.
        included_jobs: for each of them, the job IDs whose settings it included; empty if only the head's. Stored as
            `carried`.
        tries: how many of its requests counted as a try.
        first_sent_at_ms: when the first was sent, Unix milliseconds; None if none was.
        past: requests for earlier heads of the lane, each with the job IDs that it included.
        traceparent: the trace context of the head's first attempt, of a change of a batch that is traced.
    """

    head: str = ""
    attempts: list[Attempt] = []
    included_jobs: list[list[str]] = msgspec.field(default_factory=list, name="carried")
    tries: int = 0
    first_sent_at_ms: int | None = None
    past: list[tuple[Attempt, list[str]]] = []
    traceparent: str | msgspec.UnsetType = msgspec.UNSET

    def with_attempt(self, attempt: Attempt, included_jobs: Sequence[str] = ()) -> AttemptHistory:
        """Return the history with one more request, which included settings of these jobs."""
        others = [] if list(included_jobs) == [self.head] else list(included_jobs)
        return AttemptHistory(
            head=self.head,
            attempts=[*self.attempts, attempt][-MAX_ATTEMPTS:],
            included_jobs=[*self.included_jobs, others][-MAX_ATTEMPTS:],
            tries=self.tries + attempt.is_try,
            first_sent_at_ms=attempt.at_ms if self.first_sent_at_ms is None else self.first_sent_at_ms,
            past=self.past,
        )

    def for_job(self, job_id: str) -> AttemptHistory:
        """Return the history of one job: the attempts that included it; the others go to `past`.

        The history of the head itself is returned whole.
        """
        if self.head in ("", job_id):
            return msgspec.structs.replace(self, head=job_id)
        every = sorted(self._with_jobs(), key=lambda pair: pair[0].at_ms)[-MAX_ATTEMPTS:]
        own = [(attempt, jobs) for attempt, jobs in every if job_id in jobs]
        return AttemptHistory(
            head=job_id,
            attempts=[attempt for attempt, _ in own],
            included_jobs=[jobs for _, jobs in own],
            tries=sum(attempt.is_try for attempt, _ in own),
            first_sent_at_ms=own[0][0].at_ms if own else None,
            past=[(attempt, jobs) for attempt, jobs in every if job_id not in jobs],
        )

    def was_sent(self, job_id: str) -> bool:
        """Return whether a request included settings of this job."""
        return any(job_id in jobs for _, jobs in self._with_jobs())

    def _with_jobs(self) -> Iterator[tuple[Attempt, list[str]]]:
        """Yield every request, past ones first, with the job IDs that it included."""
        yield from self.past
        missing: list[list[str]] = [[] for _ in self.attempts[len(self.included_jobs) :]]
        for attempt, jobs in zip(self.attempts, [*missing, *self.included_jobs], strict=False):
            yield attempt, jobs or [self.head]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AttemptHistory)


def encode(history: AttemptHistory) -> bytes:
    """Return a history in msgpack."""
    return _encoder.encode(history)


def with_traceparent(stored: bytes, traceparent: str) -> bytes:
    """Return a stored history with the trace context of its head's first attempt."""
    return encode(msgspec.structs.replace(decode(stored), traceparent=traceparent))


def decode(stored: bytes | None) -> AttemptHistory:
    """Return a stored history; an empty one if there is none or it is malformed."""
    if stored is None:
        return AttemptHistory()
    try:
        return _decoder.decode(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return AttemptHistory()


def decode_for_job(stored: bytes | None, job_id: str, *, is_head: bool) -> AttemptHistory:
    """Return the history of a change from that of its lane; `is_head` if it is the lane's head."""
    history = decode(stored)
    return history.for_job(job_id) if history.head or is_head else AttemptHistory()
