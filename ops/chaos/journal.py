"""What a producer was told, on disk: one JSON object a line, appended with one write each, so that a killed producer's
journal is whole up to its last line. What is in the page cache outlives its process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec


class Called(msgspec.Struct, frozen=True, tag="asked", omit_defaults=True):
    """A step's call begins.

    Attributes:
        step: its number.
        at_ns: when, on the machine's monotonic clock.
        again: whether it was asked for before.
    """

    step: int
    at_ns: int
    again: bool = False


class Answered(msgspec.Struct, frozen=True, tag="told", omit_defaults=True):
    """What the producer was told.

    Attributes:
        step: its number.
        at_ns: when, on the machine's monotonic clock.
        accepted: places of the changes that it was told are accepted.
        refused: places of those that were not.
        done: whether this was the answer to the whole step.
    """

    step: int
    at_ns: int
    accepted: tuple[int, ...]
    refused: tuple[int, ...] = ()
    done: bool = True


class Cancelled(msgspec.Struct, frozen=True, tag="taken back"):
    """What the producer was told of taking a change back.

    Attributes:
        job_id: the change.
        verdict: "cancelled", "in_flight", "ended", "not_found".
    """

    job_id: str
    verdict: str


class Read(msgspec.Struct, frozen=True, tag="read"):
    """A result that came out of a batch's stream.

    Attributes:
        batch_id: the batch.
        job_id: the change.
        outcome: how it ended.
        cursor: the position after it.
    """

    batch_id: str
    job_id: str
    outcome: str
    cursor: str


class ReadToEnd(msgspec.Struct, frozen=True, tag="read all"):
    """A batch's stream came to its end.

    Attributes:
        batch_id: the batch.
    """

    batch_id: str


class Hostile(msgspec.Struct, frozen=True, tag="hostile"):
    """What became of a call that must be refused.

    Attributes:
        what: was asked.
        answer: the error's kind and text; "" if it was accepted.
    """

    what: str
    answer: str


class Trouble(msgspec.Struct, frozen=True, tag="trouble"):
    """A call was not answered.

    Attributes:
        step: its number.
        error: the error.
    """

    step: int
    error: str


class UnexpectedError(msgspec.Struct, frozen=True, tag="surprise"):
    """An error that no caller was promised.

    Attributes:
        doing: what it came out of.
        error: the error.
    """

    doing: str
    error: str


Entry = Called | Answered | Cancelled | Read | ReadToEnd | Hostile | Trouble | UnexpectedError

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


class Journal:
    """Appends entries to a file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, entry: Entry) -> None:
        """Appends one entry; it is there when this returns."""
        os.write(self._file, _encoder.encode(entry) + b"\n")

    def close(self) -> None:
        """Nothing more is written."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(path: Path) -> Iterator[Entry]:
    """The entries of a journal; a last line that was cut off by a kill is left out."""
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield _decoder.decode(line)
