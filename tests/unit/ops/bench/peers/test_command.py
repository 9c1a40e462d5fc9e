"""Tests of the options of `python -m ops.bench peers`."""

from __future__ import annotations

import pytest

from ops.bench.peers.command import main


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
