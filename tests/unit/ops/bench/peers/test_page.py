"""The page and the picture of the peers' benchmark say what the report says."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from ops.bench.peers import command
from ops.bench.peers.goals import goals
from ops.bench.peers.page import WITHOUT_REASON, number, page, text
from ops.bench.peers.picture import RIGHT, picture
from ops.bench.peers.publish import REPORT, published
from ops.bench.peers.report import Report, Spread, encode
from tests.unit.ops.bench.peers.sample import report


def table_of(markdown: str, title: str) -> list[str]:
    """Return the rows of the table below a title."""
    section = markdown.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def test_a_load_has_a_row_for_each_program_the_best_first() -> None:
    """Ours stands where its figure puts it, in the same type as the others; a figure that it lacks is empty."""
    assert table_of(page(report(), {}), "Drain: 5,000 users with one change each") == [
        "| bare aiohttp loop | 6,171 (5,554 to 6,788) |  |",
        "| this project | 2,285 (2,056 to 2,514) |  |",
        r"| taskiq \<stream\> | 1,256 (1,130 to 1,382) |  |",
        "| arq, as it comes | 644 (580 to 708) |  |",
    ]
    assert [row.split(" | ")[0] for row in table_of(page(report(), {}), "Idle: one job at a time")] == [
        r"| taskiq \<stream\>",
        "| this project",
        "| arq, as it comes",
    ]


def test_a_load_with_one_program_has_a_row_for_each_figure() -> None:
    """One row of nine columns would be hard to read."""
    measured = report()
    drain = msgspec.structs.replace(measured.loads[0], rows=measured.loads[0].rows[1:2])
    alone = msgspec.structs.replace(measured, loads=[drain])

    rows = table_of(page(alone, {}), "Drain: 5,000 users with one change each")

    assert len(rows) == len(drain.figures)
    assert rows[0].startswith(f"| {drain.figures[0].title} | ")


def test_counts_that_are_the_same_in_all_rounds_have_no_spread() -> None:
    """And a note stands below its table, with what has a meaning in Markdown as text."""
    found = page(report(), {})
    assert table_of(found, "Limited: one user with 150 beside 20 users with 5")[0] == "| this project | 0 |"
    assert r"- arq, as it comes: the poll \| decides" in found


def test_a_missed_goal_has_its_reason() -> None:
    """A met one has none; one without a reason says so."""
    found = page(report(), {"drain": "One Redis does the work.", "limited": "Nobody reads this."})
    assert "- Why drain was missed: One Redis does the work." in found
    assert f"- Why idle was missed: {WITHOUT_REASON}" in found
    assert "Nobody" not in found
    assert WITHOUT_REASON not in page(report(ours_per_s=3200.0, ours_ms=2.9), {})


@pytest.mark.parametrize(("rate", "drain"), [(3139.0, False), (3140.0, True)])
@pytest.mark.parametrize(("arrival_ms", "idle"), [(2.98, False), (2.96, True), (1.0, True)])
def test_goals_are_judged_by_the_best_peer(rate: float, drain: bool, arrival_ms: float, idle: bool) -> None:
    """2.5 times its rate, and its arrival or 10 % more; the bare loop is no peer."""
    judged = goals(report(ours_per_s=rate, ours_ms=arrival_ms))
    assert [goal.met for goal in judged] == [drain, idle, True]


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    """A run of one load has a page too."""
    empty = msgspec.structs.replace(report(), loads=[], profiles=[])
    assert [goal.met for goal in goals(empty)] == [None, None, None]
    assert page(empty, {}).count("| not measured in full |  |") == 3
    assert "<svg" in picture(empty)


def test_no_goal_is_judged_by_a_try() -> None:
    """The best peer may have been left out."""
    sample = report()
    tries = [msgspec.structs.replace(load, is_try=True) for load in sample.loads]
    assert [goal.met for goal in goals(msgspec.structs.replace(sample, loads=tries))] == [None, None, None]


def test_a_peer_that_is_as_clean_takes_the_goal() -> None:
    """The goal is to be the only one."""
    sample = report()
    limited = sample.loads[2]
    rows = [*limited.rows, msgspec.structs.replace(limited.rows[0], program="taskiq")]
    rows = [row for row in rows if row.figures["throttled"].high == 0]
    other = msgspec.structs.replace(sample, loads=[msgspec.structs.replace(limited, rows=rows)])
    assert (goals(other)[2].met, goals(other)[2].measured) == (False, "all five: this project, taskiq <stream>")


def without(load: int, *, program: str, is_absent: bool) -> Report:
    """Return the report without a row of a load, or with one that has no figures, because the program failed."""
    sample = report()
    loads = list(sample.loads)
    rows = [
        msgspec.structs.replace(row, figures={}) if row.program == program else row
        for row in loads[load].rows
        if not (is_absent and row.program == program)
    ]
    loads[load] = msgspec.structs.replace(loads[load], rows=rows)
    return msgspec.structs.replace(sample, loads=loads)


@pytest.mark.parametrize("load", [0, 1, 2], ids=["drain", "idle", "limited"])
def test_a_goal_is_not_judged_if_a_peer_failed(load: int) -> None:
    """Without the first peer, a missed goal would seem met."""
    goal = goals(without(load, program="taskiq", is_absent=False))[load]
    assert (goal.met, goal.measured) == (None, "failed: taskiq <stream>")


@pytest.mark.parametrize("load", [0, 1, 2], ids=["drain", "idle", "limited"])
def test_a_goal_is_not_judged_without_our_own_figures(load: int) -> None:
    """Whatever the peers reached."""
    assert goals(without(load, program="ours", is_absent=True))[load].met is None


def test_who_sends_far_below_the_limit_is_not_clean() -> None:
    """A program that needs much longer meets no limit, and needs no skill for that."""
    sample = report()
    limited = sample.loads[2]
    ours = limited.rows[0]
    slow = msgspec.structs.replace(ours, program="taskiq", figures=ours.figures | {"over_floor_s": Spread(9, 9, 9)})
    rows = [ours, slow, *limited.rows[2:]]
    other = msgspec.structs.replace(sample, loads=[msgspec.structs.replace(limited, rows=rows)])
    assert (goals(other)[2].met, goals(other)[2].measured) == (True, "all five: this project")


def test_what_is_just_below_a_goal_does_not_read_as_the_goal() -> None:
    """The lead is cut off, not rounded; the extremes of the rounds stand beside it."""
    goal = goals(report(ours_per_s=2.499 * 1256))[0]
    assert (goal.met, goal.measured) == (
        False,
        "2.49 times the rate of taskiq <stream>; 2.04 (our slowest round, its fastest) to 3.05",
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.0123, "0.0123"),
        (2.746, "2.75"),
        (12.34, "12.3"),
        (12.0, "12"),
        (275.4, "275"),
        (1_234_567.8, "1,234,568"),
    ],
)
def test_numbers_have_three_digits_or_all_before_the_point(value: float, shown: str) -> None:
    """More would be noise."""
    assert number(value) == shown


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ("a <b> | c_d", r"a \<b\> \| c\_d"),
        ("`python -m worker` as it_is", r"`python -m worker` as it\_is"),
        ("`a|b_c`", r"`a\|b_c`"),
        ("an odd ` mark", r"an odd \` mark"),
        ("two\n lines", "two lines"),
    ],
)
def test_text_is_shown_as_it_is(plain: str, shown: str) -> None:
    """Only code keeps its meaning; a bar would end a table's cell in it too."""
    assert text(plain) == shown


def lengths(svg: str) -> list[float]:
    """Return the lengths of the bars, from the top."""
    return [float(found) for found in re.findall(r'<rect class="(?:ours|peer|bare)"[^>]* width="([\d.]+)"', svg)]


def test_bars_are_as_long_as_the_rates() -> None:
    """From zero, and the highest round of all fits."""
    found = lengths(picture(report()))
    assert [length / found[0] for length in found] == pytest.approx([1, 2285 / 6171, 1256 / 6171, 644 / 6171], abs=1e-3)
    (left,) = set(re.findall(r'<rect class="(?:ours|peer|bare)" x="([\d.]+)"', picture(report())))
    assert float(left) + 1.1 * found[0] == pytest.approx(RIGHT, abs=0.2)


def test_labels_are_text_and_figures_stand_beside_their_bars() -> None:
    """What has a meaning in XML is text; the style has both colors of pages."""
    svg = picture(report())
    labels = [element.text for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]  # noqa: S314 - ours
    assert {"taskiq <stream>", "2,285", "3.5", "100 ms"} <= set(labels)
    assert "@media (prefers-color-scheme: dark)" in svg


def test_a_report_of_ones_own_has_its_page_and_picture_beside_it(tmp_path: Path) -> None:
    """Without measuring; the published page stays as it is."""
    path = tmp_path / "mine.json"
    path.write_bytes(encode(report()))
    assert command.main(["--page", "--out", str(path)]) == 0
    written = (tmp_path / "mine.md").read_text("utf-8")
    assert "from [mine.json](mine.json)" in written
    assert "](mine.svg)" in written
    assert (tmp_path / "mine.svg").read_text("utf-8") == picture(report())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine.json", "mine.md", "mine.svg"]


@pytest.mark.parametrize("options", [["--page", "--out"], ["--compare"]])
def test_a_file_that_is_no_report_is_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured or written."""
    with pytest.raises(SystemExit, match="2"):
        command.main([*options, str(tmp_path / "missing.json")])
    assert "missing.json" in capsys.readouterr().err


@pytest.mark.skipif(not REPORT.exists(), reason="no run is committed yet")
def test_the_committed_page_and_picture_are_what_the_program_writes() -> None:
    """From the committed report; every missed goal has a reason that a person wrote."""
    for path, content in published().items():
        assert path.read_text(encoding="utf-8") == content, f"run python -m ops.bench peers --page: {path.name} is old"
        assert WITHOUT_REASON not in content
