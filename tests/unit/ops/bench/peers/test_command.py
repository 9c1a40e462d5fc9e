"""Tests of the options of `python -m ops.bench peers`."""

from __future__ import annotations

import os

import pytest

from ops.bench.peers.command import main
from ops.bench.peers.publish import REPORT


@pytest.mark.parametrize("option", [("--only", "saq"), ("--jobs", "20"), ("--at-once", "16")], ids=lambda pair: pair[0])
def test_a_try_does_not_replace_the_published_report(
    option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused before anything is measured, and the error says what to do."""
    with pytest.raises(SystemExit, match="2"):
        main(["--loads", "drain", *option])
    assert "name another file for their figures by --out" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--rounds", "--jobs", "--at-once"])
def test_numbers_below_the_least_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the option and what was given."""
    with pytest.raises(SystemExit, match="2"):
        main([option, "0"])
    assert f"{option} must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--loads", "crash", "--at-once", "16", "--out", "try.json"], "--at-once changes the load drain"),
        (["--loads", "crash", "--out", "nowhere/try.json"], "there is no folder nowhere"),
        (["--loads", "drain", "--only", "arq-wait", "--out", "try.json"], "none of arq-wait is measured in drain"),
    ],
    ids=["nothing changed", "no folder", "nothing to measure"],
)
def test_a_run_that_would_say_nothing_is_refused(
    options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured."""
    with pytest.raises(SystemExit, match="2"):
        main(options)
    assert says in capsys.readouterr().err


def test_the_published_report_is_known_by_any_path(capsys: pytest.CaptureFixture[str]) -> None:
    """Also by one from the folder of the run."""
    with pytest.raises(SystemExit, match="2"):
        main(["--jobs", "20", "--out", os.path.relpath(REPORT)])
    assert "for tries" in capsys.readouterr().err
