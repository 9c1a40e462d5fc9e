"""What moved between two runs of benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from ops.bench import __main__ as command
from ops.bench.compare import Verdict, compare, from_measurements, from_report, parse
from ops.bench.earlier_run import UnreadableRun, read_run
from ops.bench.measurement import Measurement, at_least, at_most, merge
from ops.bench.peers.report import encode
from tests.unit.ops.bench.peers.sample import report


def run(*values: float, target: str = "at least") -> list[Measurement]:
    """Return one figure of a run with a repeat for each value."""
    judged = at_least if target == "at least" else at_most
    return merge("throughput", [[judged("a figure", value, "%", 60)] for value in values])


def verdict(old: list[Measurement], new: list[Measurement]) -> Verdict:
    """Return the verdict on the only figure."""
    (movement,) = compare(from_measurements(old), from_measurements(new)).movements
    return movement.verdict


def written(path: Path, measurements: list[Measurement]) -> Path:
    """Write the JSON lines of a run."""
    path.write_bytes(msgspec.json.Encoder().encode_lines(measurements))
    return path


def test_two_figures_of_one_name_are_refused() -> None:
    """They would be merged as if they were two repeats of one."""
    with pytest.raises(ValueError, match="two figures of the benchmark x"):
        merge("x", [[Measurement("a figure", 1, "us"), Measurement("a figure", 2, "changes/s")]])


def test_repeats_are_the_median_and_the_spread_judged_by_the_median() -> None:
    """Of two, the lower is the median; a single value has no spread."""
    (three,), (two,), (one,) = run(70, 50, 61), run(70, 50), run(70)
    assert (three.value, three.low, three.high, three.met, three.benchmark) == (61, 50, 70, True, "throughput")
    assert (two.value, two.met) == (50, False)
    assert (one.value, one.low, one.high) == (70, None, None)


@pytest.mark.parametrize(
    ("new", "at_least_verdict", "at_most_verdict"),
    [
        ((9, 9.5, 9.9), Verdict.WORSE, Verdict.BETTER),
        ((9, 9.5, 10), Verdict.WITHIN, Verdict.WITHIN),
        ((12, 13, 14), Verdict.WITHIN, Verdict.WITHIN),
        ((12.1, 13, 14), Verdict.BETTER, Verdict.WORSE),
        ((12.1,), Verdict.BETTER, Verdict.WORSE),
    ],
)
def test_a_figure_moved_if_the_ranges_do_not_overlap(
    new: tuple[float, ...], at_least_verdict: Verdict, at_most_verdict: Verdict
) -> None:
    """What is better is what the target says."""
    assert verdict(run(10, 11, 12), run(*new)) is at_least_verdict
    assert verdict(run(10, 11, 12, target="at most"), run(*new, target="at most")) is at_most_verdict


def test_two_single_values_are_not_judged() -> None:
    """Nobody knows how far apart two such runs are by chance."""
    assert verdict(run(10), run(1000)) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("changes/s", Verdict.BETTER), ("us a change", Verdict.WORSE), ("requests/s", Verdict.MOVED)],
)
def test_without_a_target_the_unit_says_what_is_better(unit: str, expected: Verdict) -> None:
    """The bare loop, in requests a second, is the machine's figure and not the program's."""
    old, new = (merge("x", [[Measurement("a figure", value, unit)] for value in run]) for run in ((1, 2), (3, 4)))
    assert verdict(old, new) is expected


def test_figures_of_one_run_alone_are_named() -> None:
    """They are not compared with anything."""
    old, new = (from_measurements([Measurement(name, 1, "s")]) for name in ("gone", "added"))
    comparison = compare(old, new)
    assert (comparison.movements, comparison.missing, comparison.added) == ([], ["gone"], ["added"])


def test_only_our_own_worker_gets_worse_in_the_report_of_peers() -> None:
    """A peer that another machine slows down is shown as moved."""
    old, new = report(), report(ours_per_s=1000.0)
    faster = [msgspec.structs.replace(load, rows=[]) for load in new.loads[1:]]
    comparison = compare(from_report(old), from_report(msgspec.structs.replace(new, loads=[new.loads[0], *faster])))
    assert {each.new.name: each.verdict for each in comparison.movements} == {
        "drain: bare: rate_per_s": Verdict.WITHIN,
        "drain: ours: rate_per_s": Verdict.WORSE,
        "drain: taskiq: rate_per_s": Verdict.WITHIN,
        "drain: arq: rate_per_s": Verdict.WITHIN,
    }
    assert len(comparison.missing) == 6


def test_a_load_that_ran_once_is_not_judged() -> None:
    """Though other loads of its report ran several times."""
    sample = report()
    figures = [figure for figure in from_report(sample) if figure.name.startswith("limited")]
    assert figures
    assert not any(figure.has_spread for figure in figures)
    assert all(figure.has_spread for figure in from_report(sample) if figure not in figures)


def test_a_file_is_of_the_usual_benchmarks_or_of_the_peers(tmp_path: Path) -> None:
    """Both are read, and say what they measured; anything else is refused."""
    usual, peers = parse(written(tmp_path / "old.json", run(1, 2)).read_bytes()), parse(encode(report()))
    assert (usual.figures, usual.benchmarks) == (from_measurements(run(1, 2)), ["throughput"])
    assert (peers.figures, peers.benchmarks) == (from_report(report()), ["peers"])
    with pytest.raises(msgspec.DecodeError):
        parse(b"<html>")


def test_a_run_without_figures_is_refused(tmp_path: Path) -> None:
    """Such is the file of a run that was interrupted: nothing could have moved against it."""
    path = tmp_path / "old.json"
    path.write_bytes(b"")
    with pytest.raises(UnreadableRun, match="has no figures"):
        read_run(path)


@pytest.mark.parametrize(("new", "status"), [((9, 8), 1), ((20, 30), 0), ((12, 8), 0)])
def test_the_exit_status_is_1_if_something_got_worse(
    new: tuple[float, ...],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And a missed target alone is no news then; what moved is printed."""
    old, later = written(tmp_path / "old.json", run(10, 11, 12)), written(tmp_path / "new.json", run(*new))
    monkeypatch.setattr("sys.argv", ["bench", "--compare", str(old), "--new", str(later)])
    assert command.main() == status
    assert f"{int(status or new[0] == 20)} of 1 figures moved" in capsys.readouterr().out


def test_without_names_the_benchmarks_of_the_earlier_run_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As often as asked; the JSON on standard output can be kept as the next earlier run."""
    values = iter([5.0, 6.0])

    async def measure() -> list[Measurement]:
        return [at_least("a figure", next(values), "%", 60)]

    old = written(tmp_path / "old.json", run(10, 11, 12))
    monkeypatch.setitem(command.BENCHMARKS, "throughput", measure)
    monkeypatch.setattr("sys.argv", ["bench", "--compare", str(old), "--repeat", "2", "--json"])
    assert command.main() == 1
    printed = capsys.readouterr()
    assert msgspec.json.decode(printed.out, type=Measurement).high == 6
    assert "1 of them for the worse" in printed.err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--repeat", "0", "--repeat must be 1 or more; got 0"),
        ("--new", "new.json", "--new NEW needs --compare OLD"),
        ("--compare", "/nowhere.json", "/nowhere.json is not the JSON of a run"),
    ],
)
def test_wrong_options_are_refused(
    option: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured."""
    monkeypatch.setattr("sys.argv", ["bench", option, value])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("cores", [2, 8], ids=["the same machine", "another machine"])
def test_a_comparison_says_if_the_machine_is_another_one(
    cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says little of the program then."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_bytes(encode(report()))
    machine = msgspec.structs.replace(report().machine, cores=cores)
    new.write_bytes(encode(msgspec.structs.replace(report(), machine=machine)))
    monkeypatch.setattr("sys.argv", ["bench", "--compare", str(old), "--new", str(new)])
    assert command.main() == 0
    said = "another machine, kernel, Python or server, so what moved says little: 2 cores of AMD EPYC"
    assert (said in capsys.readouterr().err) is (cores != 2)


@pytest.mark.parametrize(("note", "status"), [("", 1), (" In this run: 100 jobs.", 0)], ids=["the same", "fewer jobs"])
def test_a_load_in_which_the_runs_did_something_else_is_named_and_not_judged(
    note: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A try with fewer jobs has other figures for that alone."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_bytes(encode(report()))
    slower = report(ours_per_s=1000.0)
    drain = msgspec.structs.replace(slower.loads[0], about=slower.loads[0].about + note)
    new.write_bytes(encode(msgspec.structs.replace(slower, loads=[drain, *slower.loads[1:]])))
    monkeypatch.setattr("sys.argv", ["bench", "--compare", str(old), "--new", str(new)])

    assert command.main() == status

    printed = capsys.readouterr()
    assert ("did something else, so they are not compared: drain." in printed.err) is (status == 0)
    assert ("drain: ours: rate_per_s" in printed.out) is (status == 1)


@pytest.mark.parametrize(
    "arguments", ["--compare peers.json --new idle.json", "peers --compare idle.json --out peers.json"]
)
def test_runs_without_a_benchmark_in_common_are_refused_before_anything_is_measured(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report of peers beside a run of the usual benchmarks, or two of these."""
    (tmp_path / "peers.json").write_bytes(encode(report()))
    (tmp_path / "idle.json").write_bytes(msgspec.json.encode(Measurement("a figure", 1, "s", benchmark="idle")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", *arguments.split()])

    with pytest.raises(SystemExit, match="2"):
        command.main()

    assert "the runs have nothing in common: one is of " in capsys.readouterr().err


def test_a_report_of_peers_is_compared_with_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loads run again. Their report is a file of its own."""
    started: list[Sequence[str]] = []

    def run_peers(arguments: Sequence[str]) -> int:
        started.append(arguments)
        return 1

    old = tmp_path / "old.json"
    old.write_bytes(encode(report()))
    monkeypatch.setattr("ops.bench.peers.command.main", run_peers)
    monkeypatch.setattr("sys.argv", ["bench", "--compare", str(old), "--repeat", "5"])
    assert command.main() == 1
    again = ["--compare", str(old), "--out", str(tmp_path / "old.new.json")]
    assert started == [[*again, "--rounds", "5", "--loads", "drain", "idle", "limited"]]
