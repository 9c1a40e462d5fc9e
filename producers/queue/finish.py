"""The Lua part of all scripts that finish changes, with the constants it needs."""

from __future__ import annotations

from producers.contract import keyspace
from producers.contract.codec import BULK_BYTES, MAX_PAYLOAD_BYTES
from producers.contract.messages import Outcome
from producers.transport.scripts import Part

DEAD_OUTCOMES = (Outcome.REJECTED, Outcome.UNAUTHORIZED, Outcome.EXHAUSTED)
"""Changes that finish with one of these are kept as dead letters."""

FINISH = Part(
    "producers.queue",
    "finish.lua",
    {
        "JOB_PREFIX": keyspace.JOB,
        "RESULT_PREFIX": keyspace.RESULT,
        "DONE_CHANNEL_PREFIX": keyspace.JOB_DONE,
        "COUNTS_KEY": keyspace.COUNTS,
        "BATCH_PREFIX": keyspace.BATCH,
        "MEMBERS_PREFIX": keyspace.BATCH_MEMBERS,
        "RESULTS_PREFIX": keyspace.BATCH_RESULTS,
        "COMPLETE_CHANNEL_PREFIX": keyspace.BATCH_COMPLETE,
        "DEAD_LETTER_PREFIX": keyspace.DEAD_LETTER,
        "DEAD_LETTERS_PREFIX": keyspace.DEAD_LETTERS,
        "DEAD_OUTCOMES": frozenset(DEAD_OUTCOMES),
        "MAX_PAYLOAD_BYTES": MAX_PAYLOAD_BYTES,
        "BULK_BYTES": BULK_BYTES,
    },
)
