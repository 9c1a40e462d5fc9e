"""A producer as a process of its own: asks for its steps in their time, and writes down what it is told.

    python -m ops.chaos.producer_process NUMBER KIND SEED SECONDS START_NS JOURNAL

Started again after a kill, it reads its journal and goes on: what was asked for without an answer is asked for again
with the same IDs, or left open, as the step has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import time
from pathlib import Path

from ops.chaos.calls import Asynchronous, Calls, Synchronous, Tell
from ops.chaos.journal import Answered, Called, Cancelled, Journal, Read, ReadToEnd, Trouble, UnexpectedError, read
from ops.chaos.workload import Method, Step, step, steps
from producers import QueueUnavailable

RETRY_AFTER_S = 0.15
READ_ONE_IN = 3
"""So many batches are there for each whose results are read as they come."""


class ProducerProcess:
    """Asks for steps, takes some back, and reads some batches' results."""

    def __init__(self, calls: Calls, journal: Journal, seed: int, producer: int) -> None:
        self._calls = calls
        self._journal = journal
        self._seed = seed
        self._producer = producer
        self._asked: set[int] = set()
        self._told: set[int] = set()
        self._cursors: dict[str, str] = {}
        self._read: set[str] = set()

    def remember(self, path: Path) -> None:
        """Takes up what an earlier incarnation has done."""
        for entry in read(path):
            match entry:
                case Called():
                    self._asked.add(entry.step)
                case Answered(done=True):
                    self._told.add(entry.step)
                case Read():
                    self._cursors[entry.batch_id] = entry.cursor
                case ReadToEnd():
                    self._read.add(entry.batch_id)
                case _:
                    pass

    async def run(self, seconds: float, start_ns: int) -> None:
        """Asks for everything, then reads what is still to be read."""
        async with asyncio.TaskGroup() as readers:
            for number in range(steps(seconds)):
                one = step(self._seed, self._producer, number)
                await _until(start_ns, one.at_s)
                if number not in self._told and (number not in self._asked or one.insists):
                    await self._ask(one)
                if self._is_read(one):
                    readers.create_task(self._follow(one.name))

    async def _ask(self, one: Step) -> None:
        again = one.number in self._asked
        while True:
            self._journal.write(Called(one.number, time.monotonic_ns(), again))
            try:
                accepted, refused = await self._calls.ask(one, self._tell_part(one))
            except QueueUnavailable as exc:
                self._journal.write(Trouble(one.number, f"{exc}"))
            except Exception as exc:  # noqa: BLE001 - whatever it is, it was not promised
                self._journal.write(UnexpectedError(f"{one.how} {one.name}", f"{type(exc).__name__}: {exc}"))
                return
            else:
                self._journal.write(Answered(one.number, time.monotonic_ns(), accepted, refused))
                self._told.add(one.number)
                await self._take_back(one, accepted)
                return
            if not one.insists:
                return
            again = True
            await asyncio.sleep(RETRY_AFTER_S)

    def _tell_part(self, one: Step) -> Tell:
        def tell(place: int) -> None:
            self._journal.write(Answered(one.number, time.monotonic_ns(), (place,), done=False))

        return tell

    async def _take_back(self, one: Step, accepted: tuple[int, ...]) -> None:
        rng = random.Random(f"{self._seed}/{one.name}/taken back")
        for place in rng.sample(accepted, min(one.cancels, len(accepted))):
            job_id = one.job_id(place)
            try:
                verdict = await self._calls.cancel(job_id)
            except QueueUnavailable as exc:
                self._journal.write(Trouble(one.number, f"{exc}"))
            else:
                self._journal.write(Cancelled(job_id, verdict))

    def _is_read(self, one: Step) -> bool:
        is_batch = one.how in (Method.FAN_OUT, Method.TEMPLATE)
        return is_batch and one.number in self._told and one.number % READ_ONE_IN == 0 and one.name not in self._read

    async def _follow(self, batch_id: str) -> None:
        """Reads a batch's results as they come, from where an earlier incarnation stopped, until it is complete."""
        while True:
            try:
                async for job_id, outcome, cursor in self._calls.results(batch_id, self._cursors.get(batch_id)):
                    self._journal.write(Read(batch_id, job_id, outcome, cursor))
                    self._cursors[batch_id] = cursor
            except QueueUnavailable:
                await asyncio.sleep(RETRY_AFTER_S)
            except Exception as exc:  # noqa: BLE001 - whatever it is, it was not promised
                self._journal.write(UnexpectedError(f"reading {batch_id}", f"{type(exc).__name__}: {exc}"))
                return
            else:
                self._journal.write(ReadToEnd(batch_id))
                return


async def _until(start_ns: int, at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - (time.monotonic_ns() - start_ns) / 1e9))


async def _main(arguments: list[str]) -> None:
    number, kind, seed, seconds, start_ns, path = arguments
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with Journal(Path(path)) as journal:
        async with Synchronous() if kind == "sync" else Asynchronous() as calls:
            asker = ProducerProcess(calls, journal, int(seed), int(number))
            asker.remember(Path(path))
            await asker.run(float(seconds), int(start_ns))


if __name__ == "__main__":
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_main(sys.argv[1:]))
