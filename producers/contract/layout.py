"""The layout of what a queue's keys hold. A program refuses a queue of another one."""

from __future__ import annotations

from typing import Final

LAYOUT: Final = "2"
"""This version's. A queue without a mark has layout 1, if it has keys of it; `copytrade migrate` moves it."""

REFUSAL: Final = "LAYOUT"
"""The code of the error by which scripts refuse a queue of another layout."""
