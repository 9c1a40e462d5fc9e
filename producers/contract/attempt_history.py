"""What a lane remembers of its head between attempts. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from producers.contract.messages import Attempt

ATTEMPTS_KEPT = 20


class AttemptHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The history of a lane's head, and of those that were sent with it.

    Attributes:
        head: whose history it is.
        attempts: its requests, oldest first, the last 20.
        carried: for each of them, the changes of which something was in it; empty if that was just the head.
        tries: how many counted as a try.
        first_sent_at_ms: when the first was sent, Unix milliseconds; None if none was.
        past: requests made for heads before this one, each with the changes of which something was in it.
    """

    head: str = ""
    attempts: list[Attempt] = []
    included_jobs: list[list[str]] = msgspec.field(default_factory=list, name="carried")
    tries: int = 0
    first_sent_at_ms: int | None = None
    past: list[tuple[Attempt, list[str]]] = []

    def with_attempt(self, attempt: Attempt, included_jobs: Sequence[str] = ()) -> AttemptHistory:
        """The history after one more request, which carried something of these changes."""
        others = [] if list(included_jobs) == [self.head] else list(included_jobs)
        return AttemptHistory(
            head=self.head,
            attempts=[*self.attempts, attempt][-ATTEMPTS_KEPT:],
            included_jobs=[*self.included_jobs, others][-ATTEMPTS_KEPT:],
            tries=self.tries + attempt.is_try,
            first_sent_at_ms=attempt.at_ms if self.first_sent_at_ms is None else self.first_sent_at_ms,
            past=self.past,
        )

    def for_job(self, job_id: str) -> AttemptHistory:
        """It as another's: the head's own is all of it, that of one sent with it what carried it. The rest is past."""
        if self.head in ("", job_id):
            return msgspec.structs.replace(self, head=job_id)
        all_of_them = [*self.past, *((attempt, ids or [self.head]) for attempt, ids in self._pairs())]
        all_of_them = sorted(all_of_them, key=lambda pair: pair[0].at_ms)[-ATTEMPTS_KEPT:]
        own = [(attempt, ids) for attempt, ids in all_of_them if job_id in ids]
        return AttemptHistory(
            head=job_id,
            attempts=[attempt for attempt, _ in own],
            included_jobs=[ids for _, ids in own],
            tries=sum(attempt.is_try for attempt, _ in own),
            first_sent_at_ms=own[0][0].at_ms if own else None,
            past=[(attempt, ids) for attempt, ids in all_of_them if job_id not in ids],
        )

    def was_sent(self, job_id: str) -> bool:
        """Whether something of this change was in a request."""
        return any(job_id in (ids or [self.head]) for _, ids in (*self.past, *self._pairs()))

    def _pairs(self) -> Iterable[tuple[Attempt, list[str]]]:
        missing: list[list[str]] = [[] for _ in self.attempts[len(self.included_jobs) :]]
        return zip(self.attempts, [*missing, *self.included_jobs], strict=False)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AttemptHistory)


def encode(state: AttemptHistory) -> bytes:
    """A history as it is stored."""
    return _encoder.encode(state)


def decode(stored: bytes | None) -> AttemptHistory:
    """A stored history; an empty one if there is none or it cannot be read."""
    if stored is None:
        return AttemptHistory()
    try:
        return _decoder.decode(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return AttemptHistory()
