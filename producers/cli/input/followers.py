"""Followers from a file: each line becomes a change or a fault. Read twice: to judge all of it, then to send."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO, Literal

from producers.cli.input.csv_rows import csv_rows
from producers.cli.input.json_rows import json_rows
from producers.cli.input.lines import LONGEST_LINE, numbered_lines
from producers.cli.input.row_errors import BadInput, Fault
from producers.cli.input.template import Template
from producers.contract.messages import SettingsChange
from producers.errors import InvalidChange

MOST_FAULTS_KEPT = 100_000
"""Of the wrong file, each line is a fault; the rest are counted."""

_READERS = {"csv": csv_rows, "jsonl": json_rows}
_SUFFIXES: dict[str, Literal["csv", "jsonl"]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A line that is a sound change.

    Attributes:
        line: its number.
        change: what it asks for.
        plain: whether it only names a user, so that it gets what all get.
    """

    line: int
    change: SettingsChange
    plain: bool


@dataclass(slots=True)
class Survey:
    """What a whole file holds.

    Attributes:
        good: how many lines are sound changes.
        plain: whether each of them only names a user.
        bad: how many are not.
        faults: what is wrong with those, the first hundred thousand.
    """

    good: int = 0
    plain: bool = True
    bad: int = 0
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Followers:
    """A file of followers.

    Attributes:
        stream: the file, at any place; it can be read again.
        form: "csv" or "jsonl".
        template: what all followers get.
        ignore_other_columns: whether columns that are no fields are passed over.
    """

    stream: BinaryIO
    form: Literal["csv", "jsonl"]
    template: Template
    ignore_other_columns: bool = False

    def __iter__(self) -> Iterator[Wanted | Fault]:
        """Each line, from the first.

        A second change for the lane of an earlier one is a fault: of two, nobody could say which was meant.

        Raises:
            BadInput: the file as a whole, or what all followers get, cannot be used.
        """
        self.stream.seek(0)
        seen: set[str | tuple[str, str]] = set()
        common_trader = self.template.fields.get("trader_id")
        rows = _READERS[self.form](numbered_lines(self.stream), ignore_other_columns=self.ignore_other_columns)
        for line, row in rows:
            if isinstance(row, Fault):
                yield row
                continue
            try:
                change = self.template.change(row)
            except InvalidChange as exc:
                yield Fault.of(line, exc)
                continue
            user, trader = change.user_id, change.trader_id
            lane = user if trader == common_trader else (user, trader)
            if lane in seen:
                rule = "must be there once for a trader; an earlier line has this user already"
                yield Fault.of(line, InvalidChange("userId", rule, user))
                continue
            seen.add(lane)
            yield Wanted(line, change, plain=len(row) == 1)

    def survey(self) -> Survey:
        """Judges every line, and keeps none.

        Raises:
            BadInput: the file as a whole, or what all followers get, cannot be used.
        """
        survey = Survey()
        for found in self:
            if isinstance(found, Wanted):
                survey.good += 1
                survey.plain = survey.plain and found.plain
            else:
                survey.bad += 1
                if len(survey.faults) < MOST_FAULTS_KEPT:
                    survey.faults.append(found)
        if not survey.good and not survey.bad:
            raise BadInput("there are no followers in it")
        return survey


def readable_again(stream: BinaryIO) -> BinaryIO:
    """The stream itself, or, of a pipe, a copy on disk that lives as long as it is open."""
    with suppress(AttributeError, OSError):
        if stream.seekable():
            stream.seek(0)
            return stream
    copy: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(stream, copy)
    return copy


def form_of(name: str, stream: BinaryIO) -> Literal["csv", "jsonl"]:
    """The form of a file, by its name; failing that, by its first character: JSON starts with `{`, `"` or a digit."""
    by_name = _SUFFIXES.get(PurePath(name).suffix.lower())
    if by_name is not None:
        return by_name
    stream.seek(0)
    start = stream.read(LONGEST_LINE).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return "jsonl" if start in (b"{", b"[", b'"') or start.isdigit() else "csv"
