"""Where time goes: which part a sample belongs to, and what Redis says of its scripts and commands."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from ops.bench.cpu_sampler import ATTEMPT, HTTP, LOOP, OTHER, QUEUE, REDIS, SIGNING, CpuSampler, part_of
from ops.bench.redis_time import LUA, OTHER_SCRIPTS, OUTSIDE, by_command, by_script
from producers.contract.keyspace import Keyspace
from producers.queue.submit_messages import SUBMIT
from worker.queue.claim import CLAIM

KEYS = Keyspace("")
TURN = [("asyncio.base_events", "_run_once"), ("arq.worker", "run"), ("worker.process.main", "main")]


@pytest.mark.parametrize(
    ("innermost", "part"),
    [
        (["hmac", "worker.exchange.signing", "worker.exchange.client"], SIGNING),
        (["asyncio.selector_events", "aiohttp.http_writer", "aiohttp.client", "worker.exchange.client"], HTTP),
        (["asyncio.timeouts", "worker.exchange.client"], ATTEMPT),
        (["asyncio.streams", "redis.asyncio.connection", "producers.transport.runner"], REDIS),
        (["producers.transport.scripts", "worker.queue.claim", "worker.process.dispatcher"], QUEUE),
        (["asyncio.selector_events", "asyncio.events"], LOOP),
        (["selectors"], LOOP),
    ],
)
def test_a_sample_is_of_the_innermost_part(innermost: list[str], part: str) -> None:
    """The standard library works for its caller; what runs the loop is no caller."""
    assert part_of(iter([*((module, "f") for module in innermost), *TURN])) == part


def test_a_stack_without_a_known_module_is_another() -> None:
    """As that of a timer of another library; a name that only begins alike is not known."""
    assert part_of(iter([("threading", "run"), ("aiohttp_session", "f")])) == OTHER


@pytest.fixture
def sampler() -> Iterator[CpuSampler]:
    """A sampler that is stopped at the end."""
    before = signal.getsignal(signal.SIGPROF)
    sampler = CpuSampler()
    yield sampler
    sampler.stop()
    signal.signal(signal.SIGPROF, before)


def test_a_busy_process_is_sampled_until_it_stops(sampler: CpuSampler) -> None:
    """By its CPU time."""
    sampler.start()
    for _ in range(100_000_000):
        if sampler.samples:
            break
    sampler.stop()
    assert sampler.samples.total() >= 1
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_scripts_are_known_by_digest_or_by_their_text_as_the_log_cuts_it() -> None:
    """Commands inside them are not counted again; the rest of the CPU time is a row of its own."""
    claim, submit = CLAIM.bind(KEYS), SUBMIT.bind(KEYS)
    commands = {
        f"EVALSHA {claim.sha} 1 key": 30,
        f"EVALSHA {claim.sha} 1 another": 10,
        f"EVAL {submit.text[:110]}... (9000 more bytes) 1 key": 20,
        "evalsha 0123 0": 5,
        "HGETALL key": 7,
    }
    entries = [{"command": command.encode(), "duration": us} for command, us in commands.items()]
    assert by_script(entries, KEYS, 100.0) == {
        "script claim": 40,
        "script submit, of the producer": 20,
        OTHER_SCRIPTS: 5,
        OUTSIDE: 35,
    }


def test_times_are_never_more_than_the_cpu_time() -> None:
    """On a busy machine more time passes than Redis used; what is outside of scripts is not known then."""
    entries = [{"command": f"EVALSHA {CLAIM.bind(KEYS).sha} 0".encode(), "duration": 400}]
    assert by_script(entries, KEYS, 100.0) == {"script claim": 100}


def test_what_no_command_took_of_the_scripts_is_lua() -> None:
    """Only what happened between the two readings counts, and not the readings."""
    before = {"cmdstat_evalsha": {"usec": 100}, "cmdstat_hget": {"usec": 10}, "cmdstat_info": {"usec": 3}}
    after = {
        "cmdstat_evalsha": {"usec": 200},
        "cmdstat_eval": {"usec": 50},
        "cmdstat_hget": {"usec": 40},
        "cmdstat_zadd": {"usec": 20},
        "cmdstat_info": {"usec": 9},
    }
    found = by_command(before, after, 1000.0)
    assert {name: us for name, us in found.items() if us} == {"HGET": 30, "ZADD": 20, LUA: 100}
