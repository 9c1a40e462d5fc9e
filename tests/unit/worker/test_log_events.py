"""Every log line of ours has an event: the calls in the source are read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from producers.gateway.calls.events import Event as GatewayEvent
from producers.logs import LIBRARY, ClientEvent
from worker.logs import Event

ROOT = Path(__file__).parents[3]
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield every call of a logger in `worker` and `producers`, with its place."""
    for path in sorted([*ROOT.glob("worker/**/*.py"), *ROOT.glob("producers/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name("log" | "audit_log" | "logger" | "logging"), attr=level)
                ):
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
    for folder, events in (
        ("worker", Event),
        ("producers/gateway", GatewayEvent),
        ("producers/client", ClientEvent),
    ):
        source = "".join(path.read_text("utf-8") for path in ROOT.glob(f"{folder}/**/*.py"))

        own = [event for event in events if event != LIBRARY]
        assert [event for event in own if f"{type(event).__name__}.{event.name}" not in source] == []


def logged_fields() -> set[str]:
    """Return the names of the fields that lines may have: of calls of `log_fields`, and of dicts beside them."""
    found: set[str] = set()
    for path in [*ROOT.glob("worker/**/*.py"), *ROOT.glob("producers/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name("log_fields")):
                    found |= {keyword.arg for keyword in node.keywords if keyword.arg}
                case ast.Dict() if path == ROOT / "worker/attempt/log.py":
                    found |= {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
    return found


def test_the_page_of_logs_names_every_field() -> None:
    """In its table, or below it; with what is in every line."""
    page = (ROOT / "ops/LOGS.md").read_text("utf-8")
    schema = page[page.index("`ts`, `level`") : page.index("## Follow one change")]

    assert logged_fields() - set(re.findall(r"`(\w+)`", schema)) == set()
    assert {"ts", "level", "logger", "event", "message", "exception"} <= set(re.findall(r"`(\w+)`", schema))
