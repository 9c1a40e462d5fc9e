"""A producer of the chaos run: its journal, and how it continues after a kill."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

from ops.chaos.calls import OnAccepted, Positions
from ops.chaos.journal import Answered, Called, Entry, Journal, Read, ReadToEnd, UnexpectedError, read
from ops.chaos.producer_process import ProducerProcess
from ops.chaos.workload import STEP_S, Method, Step, step
from producers import QueueUnavailable

SEED, PRODUCER = 1, 0
LONG_AGO_NS = -(10**12)
"""A start so long ago that every step is due."""


class Answers:
    """Stands in for a queue: accepts everything, after some errors."""

    def __init__(self, errors: list[Exception] | None = None) -> None:
        self.requested: list[Step] = []
        self.errors = errors or []

    async def request(self, one: Step, _on_accepted: OnAccepted) -> Positions:
        """See Calls."""
        self.requested.append(one)
        if self.errors:
            raise self.errors.pop(0)
        return tuple(range(len(one.items))), ()

    async def cancel(self, _job_id: str) -> str:
        """See Calls."""
        return "cancelled"

    async def results(self, batch_id: str, after: str | None) -> AsyncIterator[tuple[str, str, str]]:
        """See Calls: three results, each once."""
        for number in range(int(after or -1) + 1, 3):
            yield f"{batch_id}..{number}", "applied", f"{number}"


async def run(path: Path, answers: Answers, count: int) -> list[Entry]:
    """Let one process carry out some steps; return the whole journal."""
    with Journal(path) as journal:
        process = ProducerProcess(answers, journal, SEED, PRODUCER)
        process.restore(path)
        await process.run(count * STEP_S, time.monotonic_ns() + LONG_AGO_NS)
    return list(read(path))


async def test_each_step_is_journalled_before_and_after_its_call(tmp_path: Path) -> None:
    """So that a kill at any moment leaves only the last step open."""
    entries = await run(tmp_path / "j", Answers(), 4)

    answered = {entry.step: entry for entry in entries if isinstance(entry, Answered)}
    called = {entry.step: entry for entry in entries if isinstance(entry, Called)}
    assert list(called) == list(answered) == [0, 1, 2, 3]
    for number in range(4):
        assert called[number].at_ns <= answered[number].at_ns
        assert answered[number].accepted == tuple(range(len(step(SEED, PRODUCER, number).items)))


async def test_the_next_process_continues_where_the_last_one_was_killed(tmp_path: Path) -> None:
    """A step that was answered is not requested again; one without an answer is, if the step repeats."""
    path = tmp_path / "j"
    await run(path, Answers(), 2)
    with Journal(path) as journal:
        journal.write(Called(2, 1))
    answers = Answers()
    await run(path, answers, 4)

    again = [2] if step(SEED, PRODUCER, 2).repeats else []
    assert [one.number for one in answers.requested] == [*again, 3]


async def test_an_unanswered_call_is_repeated_if_the_step_repeats(tmp_path: Path) -> None:
    """With the same step, so the same IDs; and left open otherwise."""
    answers = Answers([QueueUnavailable("Redis did not answer")])
    entries = await run(tmp_path / "j", answers, 1)

    repeats = step(SEED, PRODUCER, 0).repeats
    assert len(answers.requested) == (2 if repeats else 1)
    assert len({one.name for one in answers.requested}) == 1
    assert any(isinstance(entry, Answered) for entry in entries) is repeats


async def test_an_undocumented_error_is_journalled(tmp_path: Path) -> None:
    """The judge counts it as a violation."""
    entries = await run(tmp_path / "j", Answers([KeyError("x")]), 1)

    assert [entry.error for entry in entries if isinstance(entry, UnexpectedError)] == ["KeyError: 'x'"]


async def test_a_reader_continues_from_its_last_position(tmp_path: Path) -> None:
    """Across processes, each result is read once."""
    path = tmp_path / "j"
    batch = next(
        one
        for one in (step(SEED, PRODUCER, number) for number in range(0, 300, 3))
        if one.method in (Method.FAN_OUT, Method.TEMPLATE)
    )
    with Journal(path) as journal:
        journal.write(Answered(batch.number, 1, (0,)))
        journal.write(Read(batch.name, f"{batch.name}..0", "applied", "0"))
    entries = await run(path, Answers(), batch.number + 1)

    of_it = [entry for entry in entries if isinstance(entry, Read) and entry.batch_id == batch.name]
    assert [entry.job_id for entry in of_it] == [f"{batch.name}..{number}" for number in range(3)]
    assert ReadToEnd(batch.name) in entries


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    """All before it is there."""
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.write(Called(1, 5))
    with path.open("ab") as file:
        file.write(b'{"type":"answered","st')

    assert list(read(path)) == [Called(1, 5)]
    assert list(read(tmp_path / "absent")) == []
