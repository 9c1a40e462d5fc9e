"""Node and npm, for the examples that need them."""

from __future__ import annotations

import os
import shutil
from typing import Final

import pytest

NODE: Final = shutil.which("node")
NPM: Final = shutil.which("npm")
"""Paths; None on a machine without them."""

needs_node = pytest.mark.skipif(
    not (NODE and NPM) and os.environ.get("CI") != "true",
    reason="node and npm are not installed; with CI=true the test would fail instead",
)
"""Marks a test of a Node program: it is skipped without node, except in continuous integration."""
