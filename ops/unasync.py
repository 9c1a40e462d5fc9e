"""Generates the synchronous client, `producers/sync`, from the asyncio one, `producers/client`.

    python -m ops.unasync           write the modules
    python -m ops.unasync --check   exit with 1 if one of them is not current

Each module is copied, words are replaced one by one in code and docstrings, and ruff sorts and formats the result.
`transport.py`, `first_found.py` and `doctor.py` there are written by hand: they have what asyncio and threads do
differently.
The way of httpcore's `scripts/unasync.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE, TARGET = ROOT / "producers/client", ROOT / "producers/sync"

HEADER = "# Generated from producers/client/{name} by `python -m ops.unasync`: change that file, not this one.\n"

SUBSTITUTIONS = [
    (r"redis\.asyncio", "redis"),
    (r"producers\.client", "producers.sync"),
    (r"producers\.transport\.first_found", "producers.sync.first_found"),
    (r"producers\.transport\.(notifications|pipeline|runner|waiting)", "producers.sync.transport"),
    (r"async (def|for|with) ", r"\1 "),
    (r"await ", ""),
    (r"Async(Generator|Iterator)", r"\1"),
    (r"StopAsyncIteration", "StopIteration"),
    (r"__a(enter|exit|iter|next)__", r"__\1__"),
    (r"a(close|closing|iter_any|next)\b", r"\1"),
    # Prose
    (r"an async context manager", "a context manager"),
    (r"an iterable or asynchronous iterable", "an iterable"),
    (r"; iterables may be asynchronous", ""),
    (r"All tasks of an event loop can share one producer; [^.]*", "Threads can share one producer"),
]
_COMPILED = [(re.compile(rf"(?<!\w){pattern}"), replacement) for pattern, replacement in SUBSTITUTIONS]


def generate() -> dict[Path, str]:
    """Return the text of each module of the synchronous client by its path.

    Raises:
        ValueError: a substitution is not used by any module: delete it.
    """
    sources = {path: path.read_text("utf-8") for path in sorted(SOURCE.glob("*.py")) if path.name != "__init__.py"}
    for pattern, _ in _COMPILED:
        if not any(pattern.search(text) for text in sources.values()):
            raise ValueError(f"no module of producers/client has {pattern.pattern!r}")
    return {TARGET / path.name: _formatted(path.name, to_sync(text)) for path, text in sources.items()}


def to_sync(text: str) -> str:
    """Return asynchronous code as synchronous code."""
    for pattern, replacement in _COMPILED:
        text = pattern.sub(replacement, text)
    return text


def _formatted(name: str, text: str) -> str:
    text = HEADER.format(name=name) + text
    for command in (["check", "--fix-only", "--quiet"], ["format", "--quiet"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(TARGET / name), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, check=True, text=True, cwd=ROOT).stdout  # noqa: S603 - our own tool
    return text


def main(arguments: list[str]) -> int:
    """Write the modules, or with `--check` only compare them; return the exit code."""
    outdated = {path: text for path, text in generate().items() if not path.exists() or path.read_text("utf-8") != text}
    if "--check" in arguments:
        for path in outdated:
            print(f"{path.relative_to(ROOT)} is not current: run python -m ops.unasync")
        return int(bool(outdated))
    for path, text in outdated.items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
