"""The tables of the project's pages."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def table(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading row."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = text[text.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
