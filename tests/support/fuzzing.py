"""Settings of random tests: many examples, the same ones in each run, without a time limit."""

from __future__ import annotations

from hypothesis import settings

FUZZ = settings(deadline=None, database=None, derandomize=True, max_examples=300)
