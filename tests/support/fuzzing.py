"""How tests feed random values: the same ones each time, many, and however slow the machine is."""

from __future__ import annotations

from hypothesis import settings

FUZZ = settings(deadline=None, database=None, derandomize=True, max_examples=300)
