"""What decides in the peers' benchmark: the order of the runs, medians and ratios, and whether all jobs were done."""

from __future__ import annotations

import pytest

from ops.bench.peers.arrivals import shortfalls
from ops.bench.peers.contenders import ARQ, BARE_LOOP, OURS_PLAIN, PEERS, SAQ, Contender
from ops.bench.peers.environments import versions_of
from ops.bench.peers.limited_contenders import LIMITED_CONTENDERS
from ops.bench.peers.plan import Figures, Plan
from ops.bench.peers.processes import CpuLog
from ops.bench.peers.report import Figure, Machine, Report, Spread, decode, encode, summarize
from ops.bench.peers.rounds import measure, order, with_ratios
from ops.bench.peers.stage import IncompleteError

ARRIVED = {"u0": [10], "u1": [20]}


def test_all_programs_run_once_before_one_runs_again() -> None:
    """A machine that becomes slower is slower for all of them, and none always runs first."""
    runs = [(number, contender.name) for number, contender in order([BARE_LOOP, SAQ], 3)]

    assert runs == [(1, "bare"), (1, "saq"), (2, "saq"), (2, "bare"), (3, "bare"), (3, "saq")]


def test_a_ratio_is_to_the_bare_loop_of_the_same_round() -> None:
    """Not to its median; the bare loop itself has the ratio 1."""
    bare = [{"rate_per_s": 100.0}, {"rate_per_s": 50.0}]

    assert [figures["ratio"] for figures in with_ratios([{"rate_per_s": 20.0}] * 2, bare)] == [0.2, 0.4]
    assert [figures["ratio"] for figures in with_ratios(bare, bare)] == [1.0, 1.0]


@pytest.mark.parametrize("bare", [[], [{}, {}]], ids=["left out", "failed"])
def test_there_is_no_ratio_without_the_bare_loop(bare: list[Figures]) -> None:
    """The rates stay as they are."""
    runs = [{"rate_per_s": 20.0}, {}]

    assert with_ratios(runs, bare) == runs


def test_a_spread_is_of_the_rounds_that_have_the_figure() -> None:
    """The median of an even number of rounds is between the middle two."""
    summary = summarize([{"rate": 4.0}, {}, {"rate": 1.0}, {"rate": 2.0}, {"rate": 8.0, "idle": 3.0}])

    assert summary == {"rate": Spread(3.0, 1.0, 8.0), "idle": Spread(3.0, 3.0, 3.0)}


@pytest.mark.parametrize(
    ("arrivals_ns", "applied", "wrong"),
    [
        (ARRIVED, 2, []),
        ({"u0": [10]}, 2, ["1 of 2 jobs never arrived"]),
        (ARRIVED | {"u1": [20, 30]}, 2, ["1 of 2 jobs arrived more than once"]),
        (ARRIVED | {"u2": [20]}, 2, ["requests of 1 other users arrived"]),
        (ARRIVED, 1, ["1 results say that a change was applied, of 2"]),
    ],
)
def test_each_job_arrives_once_and_has_a_result(
    arrivals_ns: dict[str, list[int]], applied: int, wrong: list[str]
) -> None:
    """What is wrong is said in words."""
    assert shortfalls(["u0", "u1"], arrivals_ns, applied) == wrong


def test_a_round_that_failed_is_noted_and_the_others_count() -> None:
    """One bad round of one program does not spoil the run."""
    runs: list[str] = []

    async def measure_once(contender: Contender, jobs: int | None) -> Figures:
        runs.append(contender.name)
        if runs.count(contender.name) == 2:
            raise IncompleteError("3 of 10 jobs never arrived")
        return {"rate_per_s": 5.0 * (jobs or 0)}

    figure = Figure("rate_per_s", "jobs a second", "higher")
    plan = Plan("drain", "Drain", "It drains.", (figure,), (ARQ,), measure_once)

    (row,) = measure(plan, plan.contenders, rounds=3, jobs=2)

    assert row.figures == {"rate_per_s": Spread(10.0, 10.0, 10.0)}
    assert row.note == "round 2: 3 of 10 jobs never arrived"


def test_cpu_time_is_of_the_readings_around_the_arrivals() -> None:
    """Start-up before the first arrival and idleness after the last do not count."""
    log = CpuLog(1, at_ns=[0, 100, 200, 300], cpu_us=[0.0, 50.0, 90.0, 95.0])

    assert log.between(110, 210, grace_s=0) == 40.0


def test_a_report_is_read_as_it_was_written() -> None:
    """The page and the comparison rely on it."""
    machine = Machine("cpu", 2, "6.1", "3.11.7", "Valkey 9.1.2")
    report = Report(machine, [OURS_PLAIN.program()], [])

    assert decode(encode(report)) == report


def test_every_peer_has_a_lock_that_pins_what_the_report_names() -> None:
    """With the versions of aiohttp and msgspec that do the job for all."""
    for contender in (*PEERS, *LIMITED_CONTENDERS):
        if contender.environment:
            names = (*contender.distributions, "aiohttp", "msgspec")
            assert set(versions_of(contender.environment, names)) == set(names)
