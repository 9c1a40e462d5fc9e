"""The generator of the synchronous client."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import producers
from ops import unasync
from producers import sync


def test_the_synchronous_client_is_generated_from_the_current_asyncio_client() -> None:
    """Repair it with `python -m ops.unasync`."""
    current = {path: path.read_text("utf-8") for path in unasync.TARGET.glob("*.py")}
    by_hand = {unasync.TARGET / name for name in ("__init__.py", "transport.py", "first_found.py", "doctor.py")}

    assert {path: text for path, text in current.items() if path not in by_hand} == unasync.generate()


def test_await_and_async_disappear_from_code_and_docstrings() -> None:
    """Also inside comprehensions, and where a name only begins like a keyword."""
    text = '"""await job.result()"""\nasync with aclosing(awaited) as x:\n    [await y async for y in aiter_any(x)]\n'

    assert unasync.to_sync(text) == ('"""job.result()"""\nwith closing(awaited) as x:\n    [y for y in iter_any(x)]\n')


def test_both_clients_export_the_same_classes() -> None:
    """What `producers.sync` exports is written by hand."""
    exported = {
        name for name in producers.__all__ if getattr(producers, name).__module__.startswith("producers.client")
    }

    assert exported | {"EnqueueReport", "diagnose"} == set(sync.__all__)


WORDS_OF_ASYNCIO = re.compile(r"\b(?:await|async|asyncio|coroutine|event loop|aclose)|\basynchronous", re.IGNORECASE)


MODULES = sorted(path.name for path in unasync.SOURCE.glob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("module", MODULES)
def test_the_docstrings_of_the_synchronous_client_are_whole(module: str) -> None:
    """Each has all sections of its asyncio twin, and none speaks of what only asyncio has."""
    docstrings, twins = _docstrings(unasync.TARGET / module), _docstrings(unasync.SOURCE / module)

    assert [name for name, text in docstrings.items() if WORDS_OF_ASYNCIO.search(text)] == []
    assert {name: _sections(text) for name, text in docstrings.items()} == {
        unasync.to_sync(name): _sections(text) for name, text in twins.items()
    }


def _docstrings(path: Path) -> dict[str, str]:
    """Return the docstrings of a module by the names of what they describe."""
    return {
        getattr(node, "name", path.stem): text
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (text := ast.get_docstring(node)) is not None
    }


def _sections(text: str) -> list[str]:
    """Return the first word of every line that begins a section or names an argument, an attribute or an error."""
    return re.findall(r"^ {0,4}(\w+):", text, re.MULTILINE)
