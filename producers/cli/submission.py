"""The second reading of the followers: into the queue, and then, if wanted, until all has ended."""

from __future__ import annotations

from array import array
from asyncio import CancelledError, current_task
from collections.abc import Iterator
from dataclasses import dataclass, field

from producers import Batch, FanOutReport, InvalidChange, Producer, Progress, QueueUnavailable, Refusal
from producers.cli.context import Run
from producers.cli.exit_codes import Exit
from producers.cli.formatting import fault_lines, outcome_counts
from producers.cli.input.followers import Followers, Survey, Wanted
from producers.cli.input.row_errors import BadInput, Fault
from producers.cli.progress_bar import BatchBar, until_complete
from producers.cli.shared_options import interruptible
from producers.cli.text import count
from producers.contract.messages import Outcome, Priority


@dataclass(slots=True)
class Sending:
    """One fan-out.

    Attributes:
        run: the run of the command line.
        followers: the file; its good lines are sent.
        survey: what it holds.
        batch_id: the batch's ID.
        ttl_s: deadline of each change.
        priority: of each change.
        lines: of each change that was given, its line in the file.
        enqueued: how many changes are known to be in the queue.
        report: what became of all of them, once that is known.
    """

    run: Run
    followers: Followers
    survey: Survey
    batch_id: str
    ttl_s: float | None
    priority: Priority
    lines: array[int] = field(default_factory=lambda: array("Q"))
    enqueued: int = 0
    report: FanOutReport | None = None

    def send(self, *, wait: bool, timeout_s: float | None) -> Exit:
        """Enqueues all good lines as one batch, waits if wanted, and shows what came of it."""
        with interruptible(self._how_to_go_on), BatchBar(self.run, self.batch_id) as bar:
            try:
                progress = self.run.ask(lambda producer: self._go(producer, bar, wait=wait, timeout_s=timeout_s))
            except QueueUnavailable as exc:
                what = exc.__cause__ if isinstance(exc.__cause__, QueueUnavailable) else exc
                raise QueueUnavailable(f"{what}; {self._how_to_go_on()}") from exc
        return self._show(progress)

    async def _go(self, producer: Producer, bar: BatchBar, *, wait: bool, timeout_s: float | None) -> Progress | None:
        batch = await self._enqueue(producer, bar)
        self.report = batch.report
        if not wait:
            return None
        if not self.run.as_json:
            self.run.screen.note(f"batch {self.batch_id} is enqueued; Ctrl-C leaves it running")
        return await until_complete(batch, timeout_s, bar.sending)

    async def _enqueue(self, producer: Producer, bar: BatchBar) -> Batch:
        def on_chunk(report: FanOutReport) -> None:
            self.enqueued = report.accepted + report.already_there
            _heed_cancellation()
            bar.enqueueing(self.enqueued + len(report.refused), self.survey.good)

        wanted = self._wanted()
        if not self.survey.plain:
            return await producer.fan_out(
                (each.change for each in wanted),
                batch_id=self.batch_id,
                ttl_s=self.ttl_s,
                priority=self.priority,
                on_chunk=on_chunk,
            )
        same = self.followers.template.common()
        return await producer.fan_out(
            trader_id=same.trader_id,
            settings=same.settings,
            auto_copy=same.auto_copy,
            mode=same.mode,
            user_ids=(each.change.user_id for each in wanted),
            batch_id=self.batch_id,
            ttl_s=self.ttl_s,
            priority=self.priority,
            on_chunk=on_chunk,
        )

    def _wanted(self) -> Iterator[Wanted]:
        """The good lines, and of each its number; what was good a moment ago must still be."""
        bad = 0
        for found in self.followers:
            if isinstance(found, Wanted):
                self.lines.append(found.line)
                yield found
            else:
                bad += 1
        if (len(self.lines), bad) != (self.survey.good, self.survey.bad):
            raise BadInput(f"the file was changed while it was read; {self._how_to_go_on()}")

    def _show(self, progress: Progress | None) -> Exit:
        report = self.report
        assert report is not None  # noqa: S101 - nothing was raised
        refused = [self._fault(refusal) for refusal in report.refused]
        if self.run.as_json:
            self.run.screen.json(
                {
                    "batchId": self.batch_id,
                    "given": self.survey.good + self.survey.bad,
                    "accepted": report.accepted,
                    "alreadyThere": report.already_there,
                    "bad": self.survey.bad + len(refused),
                    "faults": [*self.survey.faults, *refused],
                    "faultsLeftOut": self.survey.bad - len(self.survey.faults),
                    "progress": progress,
                }
            )
        else:
            self._show_facts(report, refused, progress)
        applied = progress is None or progress.outcomes.get(Outcome.APPLIED, 0) == progress.total
        return Exit.DONE if applied and not self.survey.bad and not refused else Exit.NOT_ALL

    def _show_facts(self, report: FanOutReport, refused: list[Fault], progress: Progress | None) -> None:
        for line in fault_lines(refused, len(refused)):
            self.run.screen.note(line)
        facts = [("batch", self.batch_id), ("accepted", count(report.accepted))]
        if report.already_there:
            facts.append(("already there", count(report.already_there)))
        if self.survey.bad or refused:
            facts.append(("not accepted", count(self.survey.bad + len(refused))))
        if progress is not None:
            facts.append(("ended", outcome_counts(progress.outcomes)))
        self.run.screen.facts(facts)
        if progress is None:
            self.run.screen.note(f"follow it with: copytrade batch watch {self.batch_id}")
        elif progress.outcomes.get(Outcome.APPLIED, 0) < progress.total:
            self.run.screen.note(f"see what was not applied: copytrade batch results --failed {self.batch_id}")

    def _fault(self, refusal: Refusal) -> Fault:
        line = self.lines[refusal.index]
        if isinstance(refusal.error, InvalidChange):
            return Fault.of(line, refusal.error)
        return Fault(line, "line", str(refusal.error), "")

    def _how_to_go_on(self) -> str:
        if self.report is not None:
            return f"the batch goes on; follow it with: copytrade batch watch {self.batch_id}"
        return (
            f"about {count(self.enqueued)} of {count(self.survey.good)} changes are enqueued, and go on;"
            f" the same command with --batch-id {self.batch_id} adds only what is missing"
        )


def _heed_cancellation() -> None:
    """Ends the task if somebody asked for that, and redis-py's waiting lost it; see `Run.complete`."""
    task = current_task()
    if task is not None and task.cancelling():
        raise CancelledError
