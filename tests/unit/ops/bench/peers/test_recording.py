"""A report of peers grows load by load, and keeps what an earlier run measured."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ops.bench.peers.recording import OtherRunError, Recording
from ops.bench.peers.report import Report, decode
from tests.unit.ops.bench.peers.sample import report

REPORT = report()
EMPTY = msgspec.structs.replace(REPORT, loads=[], profiles=[])
DRAIN, IDLE, LIMITED = REPORT.loads


def test_each_load_is_written_when_it_was_measured(tmp_path: Path) -> None:
    """A failure of a later one does not lose it."""
    path = tmp_path / "peers.json"
    recording = Recording(path, EMPTY)
    recording.add(DRAIN)
    assert decode(path.read_bytes()).loads == [DRAIN]
    recording.add(IDLE)
    recording.add(LIMITED)
    recording.add_profiles(REPORT.profiles)
    assert decode(path.read_bytes()) == REPORT


def test_a_load_that_is_measured_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """Other loads, profiles and programs are kept."""
    path = tmp_path / "peers.json"
    Recording(path, REPORT).add_profiles(REPORT.profiles)
    again = msgspec.structs.replace(DRAIN, rows=DRAIN.rows[:2])
    recording = Recording(path, msgspec.structs.replace(EMPTY, programs=REPORT.programs[:2]))
    recording.resume()
    recording.add(again)
    assert decode(path.read_bytes()) == msgspec.structs.replace(REPORT, loads=[again, IDLE, LIMITED])


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (
            msgspec.structs.replace(EMPTY, machine=msgspec.structs.replace(EMPTY.machine, cores=8)),
            r"is of another machine, kernel, Python or server \(2 cores of AMD EPYC, .*; this is 8 cores of AMD EPYC",
        ),
        (
            msgspec.structs.replace(
                EMPTY, programs=[msgspec.structs.replace(EMPTY.programs[-1], versions={"aiohttp": "4.0"})]
            ),
            "is of other versions of arq, as it comes: name another file by --out",
        ),
    ],
    ids=["machine", "versions"],
)
def test_runs_that_cannot_be_compared_are_not_put_together(other: Report, says: str, tmp_path: Path) -> None:
    """A report has one machine, and one version of each program."""
    path = tmp_path / "peers.json"
    Recording(path, REPORT).add(DRAIN)
    with pytest.raises(OtherRunError, match=says):
        Recording(path, other).resume()


def test_a_file_that_is_no_report_is_not_replaced(tmp_path: Path) -> None:
    """The error names it, and what to do."""
    path = tmp_path / "peers.json"
    path.write_bytes(b"{}")
    with pytest.raises(OtherRunError, match=r"peers.json is no report of this version .* name another file by --out"):
        Recording(path, EMPTY).resume()
