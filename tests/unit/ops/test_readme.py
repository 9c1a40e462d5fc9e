"""The README's tables say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from producers import Outcome
from producers.settings import EnvironmentSettings, ProducerSettings, variable
from worker.settings import WorkerSettings

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
SIDES: dict[str, type[EnvironmentSettings]] = {"producers": ProducerSettings, "worker": WorkerSettings}


def _rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading row."""
    lines = README[README.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def _defaults(side: str) -> dict[str, object]:
    return {variable(field.name): field.default for field in msgspec.structs.fields(SIDES[side])}


@pytest.mark.parametrize("side", SIDES)
def test_the_settings_table_names_every_variable_with_its_default(side: str) -> None:
    """Each variable of a side is in the table, with its default, and the table has no others."""
    rows = _rows("| variable | default | side | meaning |")
    named = {name: default for name, default, whose, *_ in rows if whose in (side, "both")}
    expected = {
        name: f"{default:g}" if isinstance(default, float) else str(default)
        for name, default in _defaults(side).items()
    }
    assert named == expected


def test_the_outcome_table_names_outcomes_that_exist() -> None:
    """Each outcome of the table is one of the contract."""
    named = [row[0] for row in _rows("| outcome | meaning |")]
    assert named
    assert set(named) <= set(Outcome)


def test_every_file_that_the_readme_links_to_exists() -> None:
    """No relative link is dead."""
    root = Path(__file__).parents[3]
    links = re.findall(r"\]\((?!#|https?:)([^)#]+)", README)
    assert links
    assert [link for link in links if not (root / link).exists()] == []
