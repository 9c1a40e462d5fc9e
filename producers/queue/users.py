"""Plans that operate one user: its own rate, cancelling its changes."""

from __future__ import annotations

from collections import Counter

from producers.contract import keyspace
from producers.contract.keyspace import Keyspace
from producers.contract.stored_values import read_each
from producers.contract.validation import check_id, check_rate
from producers.queue.cancel import Cancellation, CancelReport, cancel_jobs
from producers.queue.lanes import job_id_of_entry, parse_head
from producers.queue.pauses import wake_user
from producers.transport.commands import HDEL, HGETALL, HSET, LRANGE
from producers.transport.plan import Plan

CANCEL_PAGE_SIZE = 1000
"""Changes of a lane that are read in one round trip."""


def limit_user(keys: Keyspace, user_id: str, rate_per_s: float | None) -> Plan[None]:
    """Set a user's own rate, or remove it (None). It applies from the next claim.

    Raises:
        InvalidId: the user ID cannot be one.
        InvalidLimit: the rate is out of bounds; nothing was changed.
    """
    user = keyspace.escape(check_id("user_id", user_id))
    if rate_per_s is None:
        yield from HDEL(keys.rates, user)
    else:
        yield from HSET(keys.rates, user, repr(check_rate(rate_per_s)))
    yield from wake_user(user_id)


def cancel_user(keys: Keyspace, user_id: str, *, result_ttl_ms: int) -> Plan[CancelReport]:
    """Cancel all changes of a user that are queued now, except those in flight.

    Raises:
        InvalidId: the user ID cannot be one.
    """
    user = keyspace.escape(check_id("user_id", user_id))
    heads = yield from HGETALL(keys.heads + user)
    counts: Counter[Cancellation] = Counter()
    malformed = 0
    for trader, stored in heads.items():
        head = parse_head(stored)
        lane = f"{user}:{trader.decode(errors='replace')}"
        malformed += head.job_id is None
        for _ in range(0, head.changes, CANCEL_PAGE_SIZE):
            # The newest first, so that what is in flight does not end in the middle; each page is the last one by then.
            page = read_each((yield from LRANGE(keys.rest + lane, -CANCEL_PAGE_SIZE, -1)), job_id_of_entry)
            malformed += page.malformed
            counts.update((yield from cancel_jobs(keys, list(reversed(page)), result_ttl_ms=result_ttl_ms)))
        if head.job_id is not None:
            counts.update((yield from cancel_jobs(keys, [head.job_id], result_ttl_ms=result_ttl_ms)))
    return CancelReport(counts[Cancellation.CANCELLED], counts[Cancellation.IN_FLIGHT], malformed)
