"""The Lua part that finds the batch in a job ID, with the constants it needs."""

from __future__ import annotations

from producers.contract import keyspace
from producers.transport.scripts import Part

BATCH_IDS = Part(
    "producers.queue",
    "batch_ids.lua",
    {"BATCH_MARK": keyspace.BATCH_MARK, "OLD_BATCH_MARK": keyspace.OLD_BATCH_MARK},
)
