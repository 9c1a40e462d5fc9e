"""The tables and the commands of the project's pages."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def table(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading row."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = text[text.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def blocks(page: str) -> list[str]:
    """Return the commands of a page: its blocks, in their order."""
    return re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def block(page: str, command: str) -> str:
    """Return the only block of a page that has a command."""
    (found,) = [text for text in blocks(page) if command in text]
    return found
