"""The page that shows a report, in Markdown. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ops.bench.peers.goals import Goal, goals
from ops.bench.peers.report import Figure, Load, Profile, Program, Report, Row, Spread

_MARKS = re.compile(r"`[^`]+`|[\\`*_<>|\[\]]")
WITHOUT_REASON = "the reason is not known yet"
VERDICTS = {True: "met", False: "**missed**", None: ""}

HEAD = """# Beside its peers

Written by `python -m ops.bench peers --page` from [{name}.json]({name}.json); do not edit it.
"""

RUN = """
```sh
sh ops/demo.sh                                        # makes the environment .env/demo
.env/demo/bin/python -m ops.bench peers --out mine.json     # an hour and a half; writes mine.md and mine.svg, too
.env/demo/bin/python -m ops.bench peers --page        # writes this page and its picture again, without measuring
.env/demo/bin/python -m ops.bench --compare OLD.json --new NEW.json    # what moved between two runs
```
"""

METHOD = """
Each program does the whole job: it builds the body, signs it, posts it through one session to the exchange double,
reads the reply, and stores a result. The peers are job queues for Redis that run jobs on an event loop; Celery,
Dramatiq and RQ run them in processes or threads, and are not among them. The bare aiohttp loop posts the same requests
without a queue and without a result. The programs take turns: a load runs once with each of them, then once more with
each in reverse order, and so on. A figure is the median of the rounds, with the lowest and the highest in brackets; a
ratio to the bare loop is of the same round. After `drain` and `idle` it is checked that each job arrived exactly once
and has a result; what failed is noted below the table. The best stands first. A cell is empty if the event did not
occur.

In our favour: we chose the job, the loads, the set-ups and what counts. In `drain` our worker has its 256 changes at
once; the peers have 64, or 16 where that was faster, each on the event loop that its set-up below names. In `limited`
only arq has a bucket, and places for 256 jobs; with a place for each of the 400 no job would wait for one, but a longer
backlog would take those, too. Against us: only our worker keeps the order, the limit and the history of each user's
changes, also in `drain`, where nothing needs them.

Of the goals: the first peer is the one with the best median; its lead is cut off after two decimals, not rounded. In
`limited`, five changes take half a second at their user's own limit, so that who waits more than 1 s waits for another
user. 2.9 s are a tenth of the floor: a program that takes longer wastes the user's allowance, and could meet the other
goals by sending slowly.

Each peer is installed into an environment of its own, from a lock with hashes, and runs a file of
`ops/bench/peers/programs`. The benchmark runs on Linux only: it reads `/proc`. The machine is a virtual one, and is now
faster, now slower: compare programs within a run, not runs.
"""

PROFILES = """Of this project, under load: `python -m ops.bench profile`; [how it is measured](README.md#method).
Here Redis has a core to itself, and the producer's part of its time is included, so that the sums are others than in
`drain`."""


def page(report: Report, reasons: Mapping[str, str], name: str = "peers") -> str:
    """Return the page.

    Args:
        report: what was measured.
        reasons: why goals were missed, by the goals' names, as people wrote it.
        name: of the report's file and of the picture's, which are beside the page.
    """
    sections = [
        HEAD.format(name=name),
        f"![Drain rate and idle arrival of each program]({name}.svg)\n",
        "## What was to be reached\n\n" + "\n".join(_goals(goals(report), reasons)) + "\n",
        "## What is measured, and how to run it\n" + METHOD + RUN,
        _machine(report),
        *(section(load, report.programs) for load in report.loads),
        "## How each program was set up\n\n" + "\n".join(_programs(report.programs)) + "\n",
    ]
    if report.profiles:
        sections.append(_profiles(report.profiles))
    return "\n".join(sections)


def _machine(report: Report) -> str:
    return f"## Where\n\n{report.machine}. Everything is on loopback and shares these cores.\n"


def section(load: Load, programs: Sequence[Program]) -> str:
    """Return the table of a load, on its side if it has one program; a note has a line of its own below it."""
    titles = {program.name: program.title for program in programs}
    rows = _in_order(load.rows, load.figures[0])
    names = ["program", *(figure.title for figure in load.figures)]
    cells = [[titles[row.program], *(_cell(row.figures.get(figure.name)) for figure in load.figures)] for row in rows]
    if len(rows) == 1:
        names, *cells = map(list, zip(names, cells[0], strict=True))
    table = _table(names, cells)
    commit = f", commit {load.commit}" if load.commit else ""
    about = f"{text(load.about)} {_count(load.rounds, 'round')} on {load.date}{commit}."
    notes = [f"- {text(titles[row.program])}: {text(row.note)}" for row in rows if row.note]
    lines = [f"## {text(load.title)}", "", about, "", *table, *(["", *notes] if notes else [])]
    return "\n".join(lines) + "\n"


def _in_order(rows: Sequence[Row], figure: Figure) -> list[Row]:
    """Return the rows, the best first; those without the figure come last."""
    sign = -1 if figure.better == "higher" else 1
    return sorted(
        rows, key=lambda row: sign * row.figures[figure.name].median if figure.name in row.figures else float("inf")
    )


def _goals(judged: Sequence[Goal], reasons: Mapping[str, str]) -> Iterator[str]:
    yield from _table(
        ["goal", "measured", ""],
        [[text(goal.title), text(goal.measured), VERDICTS[goal.met]] for goal in judged],
        is_markdown=True,
    )
    missed = [goal for goal in judged if goal.met is False]
    if missed:
        yield ""
        yield from (f"- Why {goal.name} was missed: {reasons.get(goal.name, WITHOUT_REASON)}" for goal in missed)


def _programs(programs: Sequence[Program]) -> list[str]:
    return _table(
        ["program", "versions", "file", "set-up"],
        [
            [
                program.title,
                ", ".join(f"{name} {version}" for name, version in program.versions.items()),
                f"`{program.script}`" if program.script else "",
                program.set_up,
            ]
            for program in programs
        ],
    )


def _profiles(profiles: Sequence[Profile]) -> str:
    """Return a table a process."""
    lines = ["## Where the time of a change goes", "", PROFILES, ""]
    for profile in profiles:
        rows = [[row.part, f"{row.us_per_change:,.1f}", f"{100 * row.share:.0f} %"] for row in profile.rows]
        lines += [f"{text(profile.title)}:", "", *_table(["part", "us a change", "share"], rows), ""]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, is_markdown: bool = False) -> list[str]:
    show = str if is_markdown else text
    lines = ["| " + " | ".join(map(show, row)) + " |" for row in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def _cell(spread: Spread | None) -> str:
    """Return a figure, with its spread unless all rounds gave the same."""
    if spread is None:
        return ""
    median, low, high = map(number, (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low} to {high})"


def number(value: float) -> str:
    """Return a number with three significant digits, or all digits before the point."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _count(value: int, unit: str) -> str:
    return f"{value} {unit}" + ("" if value == 1 else "s")


def text(value: str) -> str:
    """Return plain text such that Markdown shows it as it is, also in a table's cell; `code` stays code."""
    return " ".join(_MARKS.sub(_escape, value).split())


def _escape(found: re.Match[str]) -> str:
    mark = found[0]
    return mark.replace("|", "\\|") if len(mark) > 1 else f"\\{mark}"
