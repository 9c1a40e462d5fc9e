"""The document that a run of the peers' benchmark writes, and the page is made from. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal, Self

import msgspec

BARE = "bare"
"""The name of the program that only posts: the bare aiohttp loop."""

OURS = "ours"
"""The name of this project's worker."""

OURS_64 = "ours-64"
"""The name of this project's worker with as many jobs at once as its peers."""

OUR_ROWS = frozenset({OURS, OURS_64})
NO_PEERS = OUR_ROWS | {BARE}

Better = Literal["higher", "lower"]
HIGHER: Better = "higher"
LOWER: Better = "lower"


class Machine(msgspec.Struct, frozen=True):
    """What the benchmark ran on.

    Attributes:
        cpu: the processor's name.
        cores: how many the benchmark had.
        kernel: its version.
        python: the version of the project's and of the peers' Python.
        redis: the server and its version.
    """

    cpu: str
    cores: int
    kernel: str
    python: str
    redis: str

    def __str__(self) -> str:
        """Return it in words."""
        cores = f"{self.cores} core{'' if self.cores == 1 else 's'} of {self.cpu}"
        return f"{cores}, kernel {self.kernel}, Python {self.python}, {self.redis}"


class Program(msgspec.Struct, frozen=True):
    """A program that was measured.

    Attributes:
        name: by which rows name it, such as "arq-tuned".
        title: as people read it.
        versions: of the distributions that it is made of.
        script: what it runs, in `ops/bench/peers/programs`; "" for the bare loop.
        set_up: how it was run.
    """

    name: str
    title: str
    versions: dict[str, str]
    script: str
    set_up: str


class Figure(msgspec.Struct, frozen=True):
    """What was measured in a load.

    Attributes:
        name: by which rows name it; it has the unit.
        title: as people read it, with the unit.
        better: whether a higher or a lower value is better.
    """

    name: str
    title: str
    better: Better


class Spread(msgspec.Struct, frozen=True):
    """One figure of one program over all rounds.

    Attributes:
        median: of the rounds.
        low: the lowest.
        high: the highest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def from_rounds(cls, values: Sequence[float]) -> Self:
        """Return the spread of one value a round; there is at least one."""
        return cls(median(values), min(values), max(values))


class Row(msgspec.Struct, frozen=True):
    """What one program reached in a load.

    Attributes:
        program: its name.
        figures: the spread of each figure that the program has.
        note: what a reader must know to read the row, such as an error; empty for most.
    """

    program: str
    figures: dict[str, Spread]
    note: str = ""


class Load(msgspec.Struct, frozen=True):
    """A load and what all programs reached.

    Attributes:
        name: of the load, such as "drain".
        title: as people read it.
        about: what is done and measured.
        date: of its start, YYYY-MM-DD.
        commit: of this project, short; with "+" if files were changed since; "" if it is not known.
        rounds: how many times each program ran it.
        figures: what was measured, in the order of the columns.
        rows: one a program, in the order in which they ran.
        is_try: whether programs were left out, or the number of jobs was another one; no goal is judged by it.
    """

    name: str
    title: str
    about: str
    date: str
    commit: str
    rounds: int
    figures: list[Figure]
    rows: list[Row]
    is_try: bool = False


class Part(msgspec.Struct, frozen=True):
    """One part of a profile.

    Attributes:
        part: what it does, such as "HTTP client".
        us_per_change: its CPU time.
        share: of the whole profile, 0 to 1.
    """

    part: str
    us_per_change: float
    share: float


class Profile(msgspec.Struct, frozen=True):
    """Where the CPU time of a change goes in one process.

    Attributes:
        name: "worker" or "redis".
        title: as people read it.
        rows: the parts, the largest first.
    """

    name: str
    title: str
    rows: list[Part]


class Report(msgspec.Struct, frozen=True):
    """All of a run.

    Attributes:
        machine: what it ran on.
        programs: what was measured.
        loads: what they reached.
        profiles: where the time of this project's changes goes.
    """

    machine: Machine
    programs: list[Program]
    loads: list[Load]
    profiles: list[Profile] = []


def summarize(rounds: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Return the spread of each figure over the rounds of one program; a figure may be missing in some."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {name: Spread.from_rounds([figures[name] for figures in rounds if name in figures]) for name in names}


def encode(report: Report) -> bytes:
    """Return a report as JSON for people, with a line for each value, so that changes are easy to read."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def decode(document: bytes) -> Report:
    """Return the report that `encode` wrote.

    Raises:
        msgspec.DecodeError: it is no such document.
    """
    return msgspec.json.decode(document, type=Report)
