"""A producer as a process: requests the changes of its steps on schedule, and writes every answer to its journal.

    python -m ops.chaos.producer_process NUMBER async|sync SEED SECONDS START_NS JOURNAL

When it is started again after a kill, it reads its journal and continues. A step that was requested without an answer
is requested again with the same IDs, or left open, as the step says.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from functools import partial
from pathlib import Path

from ops.chaos.calls import Calls, ProducerCalls
from ops.chaos.journal import Answered, Called, Cancelled, Journal, Read, ReadToEnd, UnexpectedError, read
from ops.chaos.workload import Method, Step, step, steps
from ops.stack import cancel_on_sigterm
from producers import QueueUnavailable

RETRY_AFTER_S = 0.15
READ_EVERY = 3
"""The results of every third step, if it is a batch, are read as they are settled."""


class ProducerProcess:
    """Requests the changes of steps, cancels some of them, and reads the results of some batches."""

    def __init__(self, calls: Calls, journal: Journal, seed: int, producer: int) -> None:
        self._calls = calls
        self._journal = journal
        self._seed = seed
        self._producer = producer
        self._called: set[int] = set()
        self._answered: set[int] = set()
        self._cursors: dict[str, str] = {}
        self._read: set[str] = set()

    def restore(self, path: Path) -> None:
        """Load what earlier processes have done from their journal."""
        for entry in read(path):
            match entry:
                case Called():
                    self._called.add(entry.step)
                case Answered(done=True):
                    self._answered.add(entry.step)
                case Read():
                    self._cursors[entry.batch_id] = entry.cursor
                case ReadToEnd():
                    self._read.add(entry.batch_id)
                case _:
                    pass

    async def run(self, seconds: float, start_ns: int) -> None:
        """Carry out all steps, then read the results that are still to be read."""
        async with asyncio.TaskGroup() as readers:
            for number in range(steps(seconds)):
                one = step(self._seed, self._producer, number)
                await _sleep_until(start_ns, one.at_s)
                if number not in self._answered and (number not in self._called or one.repeats):
                    await self._request(one)
                if self._is_read(one):
                    readers.create_task(self._read_results(one.name))

    async def _request(self, one: Step) -> None:
        while True:
            self._journal.write(Called(one.number, time.monotonic_ns()))
            try:
                accepted, refused = await self._calls.request(one, partial(self._write_accepted, one.number))
            except QueueUnavailable:
                if not one.repeats:
                    return
                await asyncio.sleep(RETRY_AFTER_S)
            except Exception as exc:  # noqa: BLE001 - every other error is a finding
                self._journal.write(UnexpectedError(f"{one.method} {one.name}", f"{type(exc).__name__}: {exc}"))
                return
            else:
                self._journal.write(Answered(one.number, time.monotonic_ns(), accepted, refused))
                self._answered.add(one.number)
                await self._cancel_some(one, accepted)
                return

    def _write_accepted(self, number: int, position: int) -> None:
        self._journal.write(Answered(number, time.monotonic_ns(), (position,), done=False))

    async def _cancel_some(self, one: Step, accepted: tuple[int, ...]) -> None:
        rng = random.Random(f"{self._seed}/{one.name}/cancel")
        for position in rng.sample(accepted, min(one.cancels, len(accepted))):
            with contextlib.suppress(QueueUnavailable):
                job_id = one.job_id(position)
                self._journal.write(Cancelled(job_id, await self._calls.cancel(job_id)))

    def _is_read(self, one: Step) -> bool:
        is_batch = one.method in (Method.FAN_OUT, Method.TEMPLATE)
        return is_batch and one.number in self._answered and one.number % READ_EVERY == 0 and one.name not in self._read

    async def _read_results(self, batch_id: str) -> None:
        """Read a batch's results from the last journalled position on, until the batch is complete."""
        while True:
            try:
                async for job_id, outcome, cursor in self._calls.results(batch_id, self._cursors.get(batch_id)):
                    self._journal.write(Read(batch_id, job_id, outcome, cursor))
                    self._cursors[batch_id] = cursor
            except QueueUnavailable:
                await asyncio.sleep(RETRY_AFTER_S)
            except Exception as exc:  # noqa: BLE001 - every other error is a finding
                self._journal.write(UnexpectedError(f"reading {batch_id}", f"{type(exc).__name__}: {exc}"))
                return
            else:
                self._journal.write(ReadToEnd(batch_id))
                return


async def _sleep_until(start_ns: int, at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - (time.monotonic_ns() - start_ns) / 1e9))


async def _main(arguments: list[str]) -> None:
    number, kind, seed, seconds, start_ns, path = arguments
    cancel_on_sigterm()
    with Journal(Path(path)) as journal:
        async with ProducerCalls(is_sync=kind == "sync") as calls:
            process = ProducerProcess(calls, journal, int(seed), int(number))
            process.restore(Path(path))
            await process.run(float(seconds), int(start_ns))


if __name__ == "__main__":
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_main(sys.argv[1:]))
