"""Failure kinds of requests, and the marks of users whose API keys were rejected. No I/O.

Both are stored text: `breaker.lua` counts failure kinds, and `keys.rejected_keys` keeps the marks.
"""

from __future__ import annotations

from typing import Final

from producers.contract.messages import THROTTLED, Attempt
from producers.queue.breaker import FAILING
from worker.attempt.retry import AMBIGUOUS
from worker.exchange.replies import ReplyClass

REJECTED_KEYS: Final = "refused"
"""The API keys were rejected; the exchange's code follows."""


def classify_failure(attempt: Attempt) -> str | None:
    """Return the failure kind of a request; None if neither its user nor its egress was at fault."""
    if attempt.verdict in (ReplyClass.TRANSIENT, AMBIGUOUS):
        return FAILING
    if attempt.verdict == ReplyClass.THROTTLED:
        return THROTTLED
    if attempt.verdict == ReplyClass.CREDENTIALS:
        return f"{REJECTED_KEYS} {attempt.code or attempt.status}"
    return None


def next_mark(failure_kind: str | None, mark: str | None, fingerprint: str, now_ms: int) -> str | None:
    """Return the mark of a user's API keys after a request; None for no mark.

    Args:
        failure_kind: Failure kind of the request; None for a good reply.
        mark: The user's mark before the request.
        fingerprint: Fingerprint of the keys that signed it; only read if they were rejected.
        now_ms: Unix milliseconds, Redis's clock.
    """
    if failure_kind is None:
        return None
    kind, _, code = failure_kind.partition(" ")
    return f"{fingerprint} {code} {now_ms}" if kind == REJECTED_KEYS else mark


def rejected_code(mark: str | None, fingerprint: str) -> str | None:
    """Return the code with which the exchange has rejected these keys; None if it has not.

    Args:
        mark: The user's mark.
        fingerprint: Fingerprint of the user's current keys.
    """
    rejected, _, rest = (mark or "").partition(" ")
    return rest.partition(" ")[0] if rejected == fingerprint else None
