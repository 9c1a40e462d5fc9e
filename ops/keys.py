"""The names of keys in a Redis without a tag, which is what demo, benchmarks, chaos and tests use."""

from __future__ import annotations

from producers.contract.keyspace import Keyspace

KEYS = Keyspace()
