"""The shape of the code: what imports what, how long files are, and where names are spelled."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import producers
from ops.keys import KEYS
from producers.transport.scripts import Script

ROOT = Path(__file__).parents[1]
PACKAGES = ("producers", "worker")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LUA = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.lua"))
PART_NAMES = (
    *("clock", "bucket", "lane", "schedule", "egress", "breaker", "session", "batches", "finish", "parking"),
    *("memory", "layout"),
)
WORKER_PART_NAMES = ("groups", "probes", "payloads", "round_trips", "turns", "pacing", "slowdown")
PARTS = [
    *(ROOT / "producers" / "queue" / f"{part}.lua" for part in PART_NAMES),
    *(ROOT / "worker" / "queue" / f"{part}.lua" for part in WORKER_PART_NAMES),
]
"""Lua modules that scripts share. They have no keys and no reply of their own."""
SCRIPTS = [path for path in LUA if path not in PARTS]
LUACHECK = shutil.which("luacheck")
VENDORED = ROOT / "producers" / "gateway" / "console" / "static" / "vendor"
"""Files of others, which are kept as they were published."""
SOURCES = sorted(
    path
    for package in (*PACKAGES, "ops", "tests")
    for path in (ROOT / package).rglob("*")
    if path.suffix in {".py", ".lua", ".sh", ".js", ".mjs", ".ts", ".css", ".html"}
    and not path.is_relative_to(VENDORED)
    and "node_modules" not in path.parts
)
MAX_LINES = 250
LONGER_FILES = {
    "tests/integration/producers/transport/test_waiting.py": "one relay in all of its states",
    "tests/integration/worker/exchange/test_client.py": "all ways in which a connection fails, on one scripted server",
    "tests/integration/worker/queue/test_breaker.py": "all transitions of the breaker",
    "tests/properties/world.py": "the model of one random state machine",
}
"""Files that may be longer, and why. Split a file rather than add it here."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def assembled() -> dict[Path, Script]:
    """Every script as Redis gets it, by its file."""
    found: dict[Path, Script] = {}
    for path in MODULES:
        if "Script.load(" in path.read_text() and path != ROOT / "producers" / "transport" / "scripts.py":
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            for script in vars(module).values():
                if isinstance(script, Script):
                    found |= {lua: script for lua in SCRIPTS if script.bind(KEYS).text.endswith(lua.read_text())}
    return found


def imported_with(module: str) -> set[str]:
    """Return the top-level names that a fresh interpreter has after importing a module."""
    code = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    return set(run.stdout.split())


@pytest.mark.parametrize("module", ["producers", "producers.sync"])
def test_the_producers_side_needs_nothing_of_the_workers_nor_of_the_command_line(module: str) -> None:
    """An app that enqueues installs neither aiohttp nor tenacity."""
    found = imported_with(module)

    assert {"producers", "redis", "msgspec"} <= found
    assert found & {"aiohttp", "tenacity", "worker", "ops", "tests", "yarl", "click", "rich"} == set()


@pytest.mark.parametrize("module", ["producers.sync", "producers.gateway.app", "worker.process.main"])
def test_nothing_of_opentelemetry_is_loaded_before_tracing_is_on(module: str) -> None:
    """A process without tracing pays nothing for it."""
    assert "opentelemetry" not in imported_with(module)


@pytest.mark.parametrize(
    "module", ["worker.exchange.signing", "worker.exchange.replies", "worker.attempt.retry", "worker.queue.rate"]
)
def test_the_core_does_not_pull_in_the_network(module: str) -> None:
    """It is used without any."""
    assert imported_with(module) & {"aiohttp", "arq", "ops"} == set()


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_every_script_opens_with_its_purpose_arguments_and_replies(path: Path) -> None:
    """In that order, in one comment; and says why it is atomic."""
    header = re.match(r"--\[\[\n(?P<name>\w+): .+?\nARGV  1 .+?\nReply .+?\n\]\]\n", path.read_text(), re.DOTALL)

    assert header is not None
    assert header["name"] == path.stem
    assert re.search(r"\bAtomic\b", header[0])


@pytest.mark.parametrize("path", PARTS, ids=name)
def test_every_part_of_scripts_opens_with_its_purpose_and_is_a_module(path: Path) -> None:
    """One comment that says what it is for and why it is atomic; then a Lua module that returns one table."""
    header, _, body = path.read_text().partition("]]\n")

    assert re.match(rf"--\[\[\n{path.stem}: .+\. A part of .+", header)
    assert re.search(r"Atomic with [^.]+ so\s+that ", header)
    assert not re.search(r"\bKEYS\b", body)
    assert body.endswith(f"\nreturn {path.stem}\n")


@pytest.mark.parametrize("path", sorted((ROOT / "producers").rglob("*.py")), ids=name)
def test_no_script_of_the_producers_loads_a_part_from_the_worker(path: Path) -> None:
    """The loader finds parts by package name, which the import linter does not see."""
    loads = re.findall(r"(?:Part|Script\.load)\([^)]*", path.read_text())

    assert [load for load in loads if "worker" in load] == []


@pytest.mark.skipif(LUACHECK is None, reason="luacheck (Debian's lua-check) is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_every_script_uses_only_what_its_parts_and_constants_define(script: Path, tmp_path: Path) -> None:
    """Luacheck reads the text that Redis gets, without the declarations of what the loader puts in front of it.

    The lines that the loader makes of messages may be of any length.
    """
    text = re.sub(r"^-- luacheck:.*$", "", assembled()[script].bind(KEYS).text, flags=re.MULTILINE)
    (tmp_path / script.name).write_text(text)
    command = [str(LUACHECK), "--no-color", "--config", str(ROOT / ".luacheckrc"), "--no-max-line-length"]

    run = subprocess.run([*command, str(tmp_path / script.name)], capture_output=True, text=True, check=False)  # noqa: S603

    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_every_script_takes_the_names_of_its_keys_from_the_keyspace(path: Path) -> None:
    """As KEY.<name>; it spells out none, and has none from its caller."""
    text = path.read_text()

    assert "KEYS" not in re.sub(r"HKEYS", "", text)
    assert [word for word in ("copytrade:", "arq:") if word in text] == []


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_file_is_longer_than_250_lines(path: Path) -> None:
    """Except those that are named with a reason."""
    assert len(path.read_text().splitlines()) <= MAX_LINES or name(path) in LONGER_FILES


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_unpickles(path: Path) -> None:
    """Whoever can write to Redis could run code."""
    assert not re.search(r"^\s*(import|from)\s+(pickle|marshal|shelve|dill)\b", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", [*MODULES, *LUA], ids=name)
def test_no_redis_key_is_spelled_outside_the_module_of_keys(path: Path) -> None:
    """Scripts get them as arguments."""
    if path.parent == ROOT / "producers" / "contract" and path.name in ("keyspace.py", "key_names.py"):
        return
    strings = re.findall(r"""(?<![\w`])["'](?:copytrade|arq):[^"']*["']""", path.read_text())

    assert strings == []


def test_the_public_names_are_sorted_and_complete() -> None:
    """What `from producers import *` gives is what there is."""
    public = {
        name
        for name, value in vars(producers).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("producers.")
    }

    assert producers.__all__ == sorted(producers.__all__)
    assert set(producers.__all__) == public


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package: str) -> None:
    """For the type checkers of those who use it."""
    assert (ROOT / package / "py.typed").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=name)
def test_every_test_has_a_docstring(path: Path) -> None:
    """It says what the name cannot; D103 would ask for one on every small builder as well."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert [each.name for each in functions if each.name.startswith("test_") and not ast.get_docstring(each)] == []
