"""The generator of the synchronous client."""

from __future__ import annotations

import producers
from ops import unasync
from producers import sync


def test_the_synchronous_client_is_generated_from_the_current_asyncio_client() -> None:
    """Repair it with `python -m ops.unasync`."""
    current = {path: path.read_text("utf-8") for path in unasync.TARGET.glob("*.py")}
    by_hand = {unasync.TARGET / "__init__.py", unasync.TARGET / "transport.py"}

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

    assert exported | {"EnqueueReport"} == set(sync.__all__)
