"""Constants that several scripts share, by their names in Lua: key prefixes, and what one script stores for another.

A part or a script gets those that it reads from `Script.load`; its own verdicts come from an enum beside its caller.
"""

from __future__ import annotations

from producers.contract import keyspace
from producers.transport.scripts import Constant

BUCKET_KEYS: dict[str, Constant] = {"BUCKET_PREFIX": keyspace.BUCKET, "BUCKET_SUFFIX": keyspace.ENDPOINT}

RESERVED = 0.5
"""Added to the score (ms) of a lane for which the time was reserved in its user's bucket."""

BUCKET_TTL_MS = 60_000
"""How long a bucket is kept after the last time that it still matters."""
