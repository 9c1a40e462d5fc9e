# Generated from producers/client/submission.py by `python -m ops.unasync`: change that file, not this one.
"""Submitting chunks of changes, and the log lines of what was accepted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from producers.contract.ids import batch_id_of
from producers.logs import ClientEvent, log_fields
from producers.queue.chunking import Chunk, ChunkedSubmission
from producers.transport.plan import RunScript

log = logging.getLogger(__name__)


def submit_steps(chunked: ChunkedSubmission, items: Iterator[Any]) -> Iterator[tuple[Chunk, RunScript[list[int]]]]:
    """Yield the chunks of the items, each with the step that submits it."""
    for item in items:
        chunk = chunked.add(item)
        if chunk is not None:
            yield chunk, chunked.step(chunk)
    chunk = chunked.flush()
    if chunk is not None:
        yield chunk, chunked.step(chunk)


def log_accepted(accepted: Sequence[tuple[str, bool]]) -> None:
    """Log changes that were accepted: the job ID of each, and whether it was there before."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    for job_id, existed in accepted:
        what = "is there already" if existed else "is in the queue"
        extra = log_fields(ClientEvent.ACCEPTED, job=job_id, batch=batch_id_of(job_id), already_there=existed)
        log.debug("change %s %s", job_id, what, extra=extra)
