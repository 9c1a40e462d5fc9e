"""Job IDs: new ones that sort by time, and the batches in them. No I/O."""

from __future__ import annotations

import secrets
import time

BATCH_MARK = ".."
"""Separates the batch from the rest in a job ID of a batch. New batch IDs and other new job IDs may not contain it."""

OLD_BATCH_MARK = "//"
"""The same in job IDs of earlier versions, which are still read. New ones have no slash: URL paths can carry them."""

REPLAY_MARK = "~~"
"""Separates the original job ID from the time in the ID of a replayed change. Other job IDs may not contain it."""

MAX_SEQUENCE = 0xFFFF


class SortableIds:
    """A generator of IDs of 32 hex digits: 48 bits of milliseconds, 16 bits of sequence, 64 random bits.

    IDs of one generator sort in the order in which they were made; those of several sort by millisecond.
    """

    def __init__(self) -> None:
        self._last_ms = 0
        self._sequence = 0

    def next(self) -> str:
        """Return a new ID."""
        now_ms = max(time.time_ns() // 1_000_000, self._last_ms)
        if now_ms > self._last_ms:
            self._last_ms, self._sequence = now_ms, 0
        else:
            self._sequence += 1
            if self._sequence > MAX_SEQUENCE:
                self._last_ms, self._sequence = now_ms + 1, 0
        return f"{self._last_ms:012x}{self._sequence:04x}{secrets.randbits(64):016x}"


def batch_id_of(job_id: str) -> str | None:
    """Return the batch that a job ID belongs to; None if it belongs to none."""
    return _parts(job_id)[0] or None


def member_of(job_id: str) -> str:
    """Return what a job ID of a batch has after its mark; the whole ID if it belongs to no batch."""
    return _parts(job_id)[1]


def _parts(job_id: str) -> tuple[str, str]:
    for mark in (OLD_BATCH_MARK, BATCH_MARK):
        batch_id, found, member = job_id.partition(mark)
        if found:
            return batch_id, member
    return "", job_id


def replayed_from(job_id: str) -> str | None:
    """Return the job ID of the dead letter that a change replays; None if it replays none.

    It may be wrong for a very long ID, of which the replay has a digest (see `dead_letters.make_replay_id`).
    """
    base, found, _ = job_id.rpartition(REPLAY_MARK)
    return base.replace(REPLAY_MARK, BATCH_MARK, 1) if found and base else None


def other_form(job_id: str) -> str | None:
    """Return the job ID of a batch with the other of the two marks; None if it belongs to none.

    A change has one of the two, but its batch and its user do not tell which: it may be of an earlier version.
    """
    for mark, other in ((OLD_BATCH_MARK, BATCH_MARK), (BATCH_MARK, OLD_BATCH_MARK)):
        batch_id, found, member = job_id.partition(mark)
        if found:
            return f"{batch_id}{other}{member}" if batch_id else None
    return None
