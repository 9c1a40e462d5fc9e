"""The wheel: what it holds, and the main job from an environment that has it and what it requires, nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

from ops.children import child_group
from ops.dependencies import list_dependencies, read_requirements
from ops.stack import Stack
from tests.acceptance.conftest import WITHIN_S
from tests.support.copytrade import FLAGS

ROOT = Path(__file__).parents[2]
PACKAGES = ("producers", "worker")
EXTRAS = ("core", "worker", "gateway")
INTERPRETER = Path("bin/python")


def pip(*words: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    subprocess.run(command, check=True, process_group=child_group())  # noqa: S603 - its words are those of this file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it is made of."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    pip("wheel", source, "--no-deps", "--no-build-isolation", "--wheel-dir", source / "dist")
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and links to the packages that it requires with its extras."""
    path = tmp_path_factory.mktemp("clean")
    venv.create(path, symlinks=True)
    (packages,) = path.glob("lib/python*/site-packages")
    of_extras = {extra: of for extra, of in read_requirements().items() if extra in EXTRAS}
    for dependency in list_dependencies(of_extras):
        installed = distribution(dependency.name)
        for name in {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}:
            if not (packages / name).exists():
                (packages / name).symlink_to(Path(str(installed.locate_file(name))))
    pip("--python", path / INTERPRETER, "install", "--no-deps", "--no-index", wheel)
    return path


def test_the_wheel_holds_both_packages_without_their_pages_and_nothing_else(wheel: Path) -> None:
    """Scripts, tables, templates and static files included; neither tests nor `ops`."""
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    needed = {
        str(path.relative_to(ROOT)) for path in files if path.suffix != ".md" and path.parent.name != "__pycache__"
    }
    with ZipFile(wheel) as archive:
        held = set(archive.namelist())
        (entry_points,) = [archive.read(name).decode() for name in held if name.endswith("/entry_points.txt")]

    metadata = {name for name in held if ".dist-info/" in name}
    assert held - metadata == needed
    assert "copytrade = producers.cli:main" in entry_points
    assert "copytrade.commands" in entry_points


async def test_the_main_job_is_done_from_the_installed_wheel(clean: Path, stack: Stack, tmp_path: Path) -> None:
    """Enqueue, send, read the result: the command line, the worker and the gateway's command are all there."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))} | {
        "COPYTRADE_REDIS_DSN": stack.redis_dsn,
        "COPYTRADE_EXCHANGE_URL": stack.exchange_url,
        "COPYTRADE_CREDENTIALS": stack.credentials,
    }

    async def run(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *words, env=environ, cwd=tmp_path, stdout=subprocess.PIPE, process_group=child_group()
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0, words
        return printed.decode()

    copytrade, python = str(clean / "bin/copytrade"), str(clean / INTERPRETER)
    async with asyncio.timeout(WITHIN_S):
        await run(copytrade, "enqueue", "--user", "1001", "--job-id", "order-1", *FLAGS)
        await run(python, "-m", "worker", "--burst")
        result = json.loads(await run(copytrade, "result", "order-1", "--json"))
        found = await run(python, "-c", "import producers, worker; print(producers.__file__, worker.__file__)")
        help_text = await run(copytrade, "serve", "--help")

    assert result["outcome"] == "applied"
    assert str(ROOT) not in found
    assert "Serve the queue over HTTP" in help_text
