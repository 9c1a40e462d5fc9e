"""A producer of the chaos run: what it writes down, and how it goes on after it was killed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

from ops.chaos.calls import Landed, Tell
from ops.chaos.journal import Answered, Called, Entry, Journal, Read, ReadToEnd, Trouble, UnexpectedError, read
from ops.chaos.producer_process import ProducerProcess
from ops.chaos.workload import STEP_S, Method, Step, step
from producers import QueueUnavailable

SEED, PRODUCER = 1, 0
LONG_AGO_NS = -(10**12)
"""A start so long ago that every step is due."""


class Answers:
    """Stands in for a queue: accepts everything, but for the first so many calls."""

    def __init__(self, errors: list[Exception] | None = None) -> None:
        self.asked: list[Step] = []
        self.errors = errors or []

    async def ask(self, one: Step, _tell: Tell) -> Landed:
        """See Calls."""
        self.asked.append(one)
        if self.errors:
            raise self.errors.pop(0)
        return tuple(range(len(one.items))), ()

    async def cancel(self, _job_id: str) -> str:
        """See Calls."""
        return "cancelled"

    async def results(self, batch_id: str, after: str | None) -> AsyncIterator[tuple[str, str, str]]:
        """See Calls: three results, each once."""
        for number in range(int(after or -1) + 1, 3):
            yield f"{batch_id}//{number}", "applied", f"{number}"


async def ask(path: Path, answers: Answers, count: int) -> list[Entry]:
    """Lets one incarnation ask for so many steps; returns the whole journal."""
    with Journal(path) as journal:
        asker = ProducerProcess(answers, journal, SEED, PRODUCER)
        asker.remember(path)
        await asker.run(count * STEP_S, time.monotonic_ns() + LONG_AGO_NS)
    return list(read(path))


async def test_each_step_is_written_down_before_and_after(tmp_path: Path) -> None:
    """So that a kill at any moment leaves open only what is open."""
    entries = await ask(tmp_path / "j", Answers(), 4)

    told = {entry.step: entry for entry in entries if isinstance(entry, Answered)}
    asked = {entry.step: entry for entry in entries if isinstance(entry, Called)}
    assert list(asked) == list(told) == [0, 1, 2, 3]
    for number in range(4):
        assert asked[number].at_ns <= told[number].at_ns
        assert told[number].accepted == tuple(range(len(step(SEED, PRODUCER, number).items)))


async def test_the_next_incarnation_goes_on_where_the_last_one_was_killed(tmp_path: Path) -> None:
    """What was told is not asked again; what was only asked is, if the step insists."""
    path = tmp_path / "j"
    await ask(path, Answers(), 2)
    with Journal(path) as journal:
        journal.write(Called(2, 1))
    answers = Answers()
    await ask(path, answers, 4)

    again = [2] if step(SEED, PRODUCER, 2).insists else []
    assert [one.number for one in answers.asked] == [*again, 3]


async def test_an_unanswered_call_is_repeated_if_the_step_insists(tmp_path: Path) -> None:
    """With the same step, so the same IDs; and left open otherwise."""
    answers = Answers([QueueUnavailable("Redis did not answer")])
    entries = await ask(tmp_path / "j", answers, 1)

    insists = step(SEED, PRODUCER, 0).insists
    assert len(answers.asked) == (2 if insists else 1)
    assert len({one.name for one in answers.asked}) == 1
    assert any(isinstance(entry, Trouble) for entry in entries)
    assert any(isinstance(entry, Answered) for entry in entries) is insists


async def test_an_error_that_was_not_promised_is_written_down(tmp_path: Path) -> None:
    """The judge counts it as a violation."""
    entries = await ask(tmp_path / "j", Answers([KeyError("x")]), 1)

    assert [entry.error for entry in entries if isinstance(entry, UnexpectedError)] == ["KeyError: 'x'"]


async def test_a_reader_goes_on_from_its_last_position(tmp_path: Path) -> None:
    """Over incarnations, each result is read once."""
    path = tmp_path / "j"
    batch = next(
        one
        for one in (step(SEED, PRODUCER, number) for number in range(0, 300, 3))
        if one.how in (Method.FAN_OUT, Method.TEMPLATE)
    )
    with Journal(path) as journal:
        journal.write(Answered(batch.number, 1, (0,)))
        journal.write(Read(batch.name, f"{batch.name}//0", "applied", "0"))
    entries = await ask(path, Answers(), batch.number + 1)

    of_it = [entry for entry in entries if isinstance(entry, Read) and entry.batch_id == batch.name]
    assert [entry.job_id for entry in of_it] == [f"{batch.name}//{number}" for number in range(3)]
    assert ReadToEnd(batch.name) in entries


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    """All before it is there."""
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.write(Called(1, 5))
    with path.open("ab") as file:
        file.write(b'{"type":"told","st')

    assert list(read(path)) == [Called(1, 5)]
    assert list(read(tmp_path / "absent")) == []
