"""The files of ops/deploy, and the programs that check them."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "ops" / "deploy"


def tool(name: str) -> Path:
    """Return a program of the tests' environment, such as hadolint."""
    return Path(sys.executable).with_name(name)
