"""What a request tells of its user's keys and of its egress, in the words of `breaker.lua`. No I/O."""

from __future__ import annotations

from typing import Final

from producers.contract.messages import THROTTLED, Attempt
from worker.attempt.retry import AMBIGUOUS
from worker.exchange.replies import ReplyClass
from worker.queue.claims import REMOVE_MARK

FAILING: Final = "failing"
"""Nobody answered, or without a verdict: the exchange, or the way to it, is to blame."""

REFUSED: Final = "refused"
"""The keys were refused; the code follows."""


def classify_failure(attempt: Attempt) -> str:
    """The trouble of a request; "" if there was none but the change's own."""
    if attempt.verdict in (ReplyClass.TRANSIENT, AMBIGUOUS):
        return FAILING
    if attempt.verdict == ReplyClass.THROTTLED:
        return THROTTLED
    if attempt.verdict == ReplyClass.CREDENTIALS:
        return f"{REFUSED} {attempt.code or attempt.status}"
    return ""


def next_mark(failure_kind: str, rejected_keys_mark: str | None, fingerprint: str, now_ms: int) -> str:
    """What becomes of the mark of a user's keys after a request; see `Settlement.rejected_keys_mark`.

    Args:
        failure_kind: of the request.
        rejected_keys_mark: the user's before it.
        fingerprint: of the keys that signed it.
        now_ms: Unix milliseconds, Redis's clock.
    """
    kind, _, code = failure_kind.partition(" ")
    if kind == REFUSED:
        return f"{fingerprint} {code} {now_ms}"
    return REMOVE_MARK if rejected_keys_mark is not None and not failure_kind else ""


def rejected_code(rejected_keys_mark: str | None, fingerprint: str) -> str | None:
    """The code with which these very keys were refused before; None if they were not.

    Args:
        rejected_keys_mark: the user's.
        fingerprint: of the keys that the user has now.
    """
    refused, _, rest = (rejected_keys_mark or "").partition(" ")
    return rest.partition(" ")[0] if refused == fingerprint else None
