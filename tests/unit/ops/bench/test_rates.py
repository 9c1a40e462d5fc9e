"""The figures of the benchmarks that compare runs, and of those that read the server's own statistics."""

from __future__ import annotations

import pytest

from ops.bench import chunks, depth, redis_load, throughput

BEFORE = {
    "cmdstat_evalsha": {"calls": 10},
    "cmdstat_info": {"calls": 1},
    "used_cpu_user": 1.0,
    "used_cpu_sys": 2.0,
}
AFTER = {
    "cmdstat_evalsha": {"calls": 60},
    "cmdstat_hget": {"calls": 100},
    "cmdstat_client|setinfo": {"calls": 50},
    "cmdstat_info": {"calls": 2},
    "used_cpu_user": 1.006,
    "used_cpu_sys": 2.004,
}
MAIN_THREAD = {"used_cpu_user_main_thread": 0.5, "used_cpu_sys_main_thread": 0.25}


def test_commands_in_scripts_count_beside_their_script_and_info_does_not() -> None:
    """A change of 2 commands and 100 us is judged by both."""
    before, after = redis_load.Load.from_info(BEFORE), redis_load.Load.from_info(AFTER)
    commands, cpu_us, rate = redis_load.measurements(before, after, 100, 1234.0)
    assert (commands.value, commands.met) == (2, True)
    assert cpu_us.value == pytest.approx(100)
    assert cpu_us.met is False
    assert rate.value == 1234


def test_the_main_thread_is_preferred_where_the_server_knows_it() -> None:
    """Other threads free memory and write files."""
    assert redis_load.Load.from_info(BEFORE | MAIN_THREAD).cpu_us == 750_000


@pytest.mark.parametrize(("rate", "percent", "met"), [(4900.0, 61.25, True), (4700.0, 58.75, False)])
def test_the_share_of_the_bare_loop_is_a_median_of_single_runs(rate: float, percent: float, met: bool) -> None:
    """A run with a fast loop is not compared with the worker of another run."""
    *_, share = throughput.measurements([(1000.0, 100.0), (8000.0, rate), (5000.0, 4500.0)])
    assert share.value == pytest.approx(percent)
    assert share.met is met


def test_depth_is_judged_by_the_medians() -> None:
    """One slow window does not decide."""
    few, many, share = depth.measurements([2000, 2100, 900], [1600, 100, 1590])
    assert (few.value, many.value, share.value, share.met) == (2000, 1590, 79.5, True)


def test_scripts_are_told_from_other_commands() -> None:
    """The server logs microseconds, and nothing that was short."""
    longest = chunks.Longest()
    longest.read([])
    assert (longest.script_ms, longest.command_ms) == (0, 0)
    commands = {b"EVALSHA abc 0": 1200, b"EVALSHA def 1 key": 7300, b"ZRANGE key 0 -1": 450, b"zrange key 0 1": 150}
    longest.read([{"command": command, "duration": us} for command, us in commands.items()])
    assert (longest.script_ms, longest.command_ms) == (7.3, 0.45)
