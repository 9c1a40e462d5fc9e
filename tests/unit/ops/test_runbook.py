"""The runbook: each alert has its page, and the commands of the pages exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from producers.cli.root import root
from producers.gateway.command import serve
from producers.gateway.keys_command import gateway_keys
from worker.credentials.command import credentials

OPS = Path(__file__).parents[3] / "ops"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (OPS / "runbook").glob("*.md")}
INDEX = PAGES["README.md"]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((OPS / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
COMMANDS: dict[str, click.Command] = {
    **root.commands, "credentials": credentials, "gateway-keys": gateway_keys, "serve": serve
}  # fmt: skip


def commands(text: str) -> list[str]:
    """Return the commands of `copytrade` in a page: lines of its blocks, and code within its text."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [part.strip() for block in blocks for line in block.splitlines() for part in re.split(r"&&|[;|>#]", line)]
    inline = re.findall(r"`(copytrade [^`]+)`", text)
    return [line for line in (*lines, *inline) if line.startswith("copytrade ")]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_has_a_page_that_the_index_lists(rule: dict[str, Any]) -> None:
    """It says what it means, how to see the cause, what to do, and when it resolves; and whether it wakes."""
    name = Path(rule["annotations"]["runbook_url"]).name
    text = PAGES[name]
    wakes = "yes" if rule["labels"]["severity"] == "critical" else "no"

    assert f"# {rule['alert']}\n" in text
    for part in ("**Users notice**", "## It resolves"):
        assert part in text
    assert re.search(r"^## (See the cause|Do)$", text, re.MULTILINE)
    assert f"| {rule['alert']} | {wakes} | [{name.removesuffix('.md')}]({name}) |" in INDEX


def test_the_index_lists_every_page_and_no_alert_that_is_gone() -> None:
    """Pages of planned work included."""
    assert PAGES.keys() - {"README.md"} == set(re.findall(r"\]\(([\w-]+\.md)\)", INDEX))
    assert set(re.findall(r"^\| (Copytrade\w+) ", INDEX, re.MULTILINE)) == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("name", sorted(PAGES.keys() - {"README.md"}))
def test_each_page_begins_with_one_command_and_one_decision(name: str) -> None:
    """Whoever is woken reads no further at first."""
    assert re.match(r"# [^\n]+\n\n\*\*First\*\* `copytrade [^`]+`: ", PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_each_command_of_a_page_exists_with_its_options(name: str) -> None:
    """Words in capitals stand for values; what follows `...` is left out."""
    for line in commands(PAGES[name]):
        words = shlex.split(line.partition("...")[0])[1:]
        command: click.Command = root
        options = [word for word in words if word.startswith("-") and word != "-"]
        for word in words:
            below = COMMANDS if command is root else getattr(command, "commands", {})
            if word.startswith("-") or not below:
                break
            assert word in below, line
            command = below[word]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(options) <= known | {"--help"}, line
