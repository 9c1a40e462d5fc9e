"""Every log line of ours has an event: the calls in the source are read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from worker.logs import Event

ROOT = Path(__file__).parents[3]
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield every call of a logger in `worker` and `producers`, with its place. The gateway is another program."""
    own = [path for path in ROOT.glob("producers/**/*.py") if "gateway" not in path.parts]
    for path in sorted([*ROOT.glob("worker/**/*.py"), *own]):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("log" | "logger" | "logging"), attr=level)):
                    if level in LEVELS:
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_log_call_has_an_event() -> None:
    """Alerts and dashboards match on it."""
    without = [
        place
        for place, call in log_calls()
        if not any(
            keyword.arg == "extra" and re.match(r"\w+$|log_fields\(", ast.unparse(keyword.value))
            for keyword in call.keywords
        )
    ]

    assert len(list(log_calls())) > 20
    assert without == []


def test_every_event_is_logged_by_some_call() -> None:
    """`library` alone is what a line gets that has none."""
    source = "".join(path.read_text("utf-8") for path in ROOT.glob("worker/**/*.py"))

    assert [event for event in Event if f"Event.{event.name}" not in source] == []
