"""A small report of the peers' benchmark."""

from __future__ import annotations

from ops.bench.peers.report import Figure, Load, Machine, Part, Profile, Program, Report, Row, Spread

TITLES = {"bare": "bare aiohttp loop", "ours": "this project", "taskiq": "taskiq <stream>", "arq": "arq, as it comes"}
RATES = {"bare": 6171.0, "ours": 2285.0, "taskiq": 1256.0, "arq": 644.0}
ARRIVALS_MS = {"ours": 3.5, "taskiq": 2.7, "arq": 275.0}


def spread(median: float) -> Spread:
    """Return a median with 10 % on both sides."""
    return Spread(median, 0.9 * median, 1.1 * median)


def limited(program: str, throttled: int, inversions: int, neighbours_ms: float) -> Row:
    """Return a row whose counts are the same in all rounds."""
    figures = {
        "throttled": float(throttled),
        "inversions": float(inversions),
        "lost": 0.0,
        "over_floor_s": 1.0,
        "neighbours_p99_ms": neighbours_ms,
    }
    return Row(program, {name: Spread(value, value, value) for name, value in figures.items()})


def report(*, ours_per_s: float = RATES["ours"], ours_ms: float = ARRIVALS_MS["ours"]) -> Report:
    """Return a report of four programs and three loads."""
    rates, arrivals_ms = RATES | {"ours": ours_per_s}, ARRIVALS_MS | {"ours": ours_ms}
    drain = Load(
        "drain",
        "Drain: 5,000 users with one change each",
        "From the first to the last arrival.",
        "2026-11-25",
        "abc1234",
        3,
        [Figure("rate_per_s", "jobs a second", "higher"), Figure("cpu_us", "CPU, us a job", "lower")],
        [Row(name, {"rate_per_s": spread(rate)}) for name, rate in rates.items()],
    )
    idle = Load(
        "idle",
        "Idle: one job at a time",
        "From the call to the arrival.",
        "2026-11-25",
        "abc1234",
        3,
        [Figure("arrival_p50_ms", "enqueue to arrival, ms", "lower")],
        [Row(name, {"arrival_p50_ms": spread(ms)}, "the poll | decides" if name == "arq" else "")
         for name, ms in arrivals_ms.items()],
    )  # fmt: skip
    limits = Load(
        "limited",
        "Limited: one user with 150 beside 20 users with 5",
        "10 a second a user.",
        "2026-11-25",
        "abc1234",
        1,
        [Figure("throttled", "429s", "lower")],
        [limited("ours", 0, 0, 480.0), limited("taskiq", 12, 0, 700.0), limited("arq", 0, 3, 15_000.0)],
    )
    return Report(
        machine=Machine("AMD EPYC", 2, "6.1.0", "3.11.7", "Valkey 9.1.2"),
        programs=[
            Program(name, title, {"aiohttp": "3.13"}, f"{name}_jobs.py", f"{title} runs.")
            for name, title in TITLES.items()
        ],
        loads=[drain, idle, limits],
        profiles=[Profile("worker", "The worker", [Part("HTTP client", 220.0, 0.57), Part("ours", 166.0, 0.43)])],
    )
