"""A report that is written again after each load, so that what was measured survives what fails later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ops.bench.peers.report import Load, Profile, Report, decode, encode


class OtherRunError(ValueError):
    """A report's loads cannot stand beside new ones; the message says why."""


class Recording:
    """A report in its file.

    Attributes:
        report: what it has so far.
    """

    def __init__(self, path: Path, report: Report) -> None:
        """Begin a report; nothing is written before the first load is added."""
        self._path = path
        self.report = report

    def resume(self) -> None:
        """Keep what the file has of an earlier run, if there is one; loads that are added replace their own.

        Raises:
            OSError: the file cannot be read.
            OtherRunError: it is no report, or of another machine, or of other versions of a program.
        """
        if not self._path.exists():
            return
        new = self.report
        try:
            earlier = decode(self._path.read_bytes())
            problem = _difference(earlier, new)
        except msgspec.DecodeError as exc:
            problem = f"is no report of this version ({exc})"
        if problem:
            raise OtherRunError(f"{self._path} {problem}: name another file by --out, or move this one away")
        programs = {program.name: program for program in (*earlier.programs, *new.programs)}
        self.report = msgspec.structs.replace(earlier, programs=list(programs.values()))

    def add(self, load: Load) -> None:
        """Add a load, or replace the one of its name, and write the report."""
        loads = {each.name: each for each in (*self.report.loads, load)}
        self._write(msgspec.structs.replace(self.report, loads=list(loads.values())))

    def add_profiles(self, profiles: Sequence[Profile]) -> None:
        """Replace the profiles, and write the report."""
        self._write(msgspec.structs.replace(self.report, profiles=list(profiles)))

    def _write(self, report: Report) -> None:
        self.report = report
        self._path.write_bytes(encode(report))
        print(f"wrote {self._path}")


def _difference(earlier: Report, new: Report) -> str:
    """Return why loads of two reports do not belong into one; "" if they do."""
    if earlier.machine != new.machine:
        return f"is of another machine, kernel, Python or server ({earlier.machine}; this is {new.machine})"
    versions = {program.name: program.versions for program in earlier.programs}
    for program in new.programs:
        if versions.get(program.name, program.versions) != program.versions:
            return f"is of other versions of {program.title}"
    return ""
