"""Chromium, for the tests of the console."""

from __future__ import annotations

import os
import shutil
from typing import Final

import pytest

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
"""A path; None on a machine without it."""

needs_browser = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true",
    reason="chromium is not installed; with CI=true the test would fail instead",
)
"""Marks a test in a browser: it is skipped without one, except in continuous integration."""
