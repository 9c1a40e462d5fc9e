"""The journal of a producer: a file with one JSON object a line.

Each entry is appended by one write, so the journal of a killed producer is complete up to its last line. Data in the
page cache outlive the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec


class Called(msgspec.Struct, frozen=True, tag="called"):
    """The producer is about to request the changes of a step; `at_ns` is on the machine's monotonic clock."""

    step: int
    at_ns: int


class Answered(msgspec.Struct, frozen=True, tag="answered", omit_defaults=True):
    """A call of a step returned.

    Attributes:
        step: its number.
        at_ns: the time on the machine's monotonic clock.
        accepted: positions of the accepted changes.
        refused: positions of the other changes.
        done: whether this is the answer to the whole step.
    """

    step: int
    at_ns: int
    accepted: tuple[int, ...]
    refused: tuple[int, ...] = ()
    done: bool = True


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """`cancel` returned "cancelled", "in_flight", "ended" or "not_found"."""

    job_id: str
    verdict: str


class Read(msgspec.Struct, frozen=True, tag="read"):
    """A result was read from a batch's stream; the cursor is the position after it."""

    batch_id: str
    job_id: str
    outcome: str
    cursor: str


class ReadToEnd(msgspec.Struct, frozen=True, tag="read to end"):
    """A batch's stream ended."""

    batch_id: str


class UnexpectedError(msgspec.Struct, frozen=True, tag="unexpected error"):
    """A call, the action, raised an error that is not documented."""

    action: str
    error: str


Entry = Called | Answered | Cancelled | Read | ReadToEnd | UnexpectedError

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


class Journal:
    """Appends entries to a file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, entry: Entry) -> None:
        """Append one entry; it is in the file when this returns."""
        os.write(self._file, _encoder.encode(entry) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a journal, without a last line that a kill has cut off."""
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield _decoder.decode(line)
