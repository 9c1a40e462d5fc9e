"""Submission of a fan-out: read the followers again, enqueue their changes, and optionally wait for the results."""

from __future__ import annotations

from array import array
from asyncio import CancelledError, current_task
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from producers import Batch, FanOutReport, InvalidChange, Producer, Progress, QueueUnavailable, Refusal
from producers.cli.context import CliContext
from producers.cli.exit_codes import ExitCode
from producers.cli.input.followers import Followers, ValidationReport, ValidRow
from producers.cli.input.row_errors import BadInput, RowError
from producers.cli.progress_bar import BatchProgressBar, wait_until_complete
from producers.cli.shared_options import interruptible
from producers.cli.text import format_count
from producers.cli.views import outcome_counts, row_error_lines
from producers.contract.messages import Outcome, Priority
from producers.contract.wording import plural


@dataclass(slots=True)
class FanOutSubmission:
    """One fan-out.

    Attributes:
        cli: the state of this invocation.
        followers: the file; its valid rows are sent.
        validation: the report of its validation.
        batch_id: the batch's ID.
        ttl_s: deadline of each change, counted from its acceptance.
        priority: priority of each change.
        lines: the line number of each change that was submitted.
        enqueued: how many changes are known to be in the queue.
        report: the result of the submission; None until it is complete.
    """

    cli: CliContext
    followers: Followers
    validation: ValidationReport
    batch_id: str
    ttl_s: float | None
    priority: Priority
    lines: array[int] = field(default_factory=lambda: array("Q"))
    enqueued: int = 0
    report: FanOutReport | None = None

    def send(self, *, wait: bool, timeout_s: float | None) -> ExitCode:
        """Enqueue all valid rows as one batch, with `wait` until all have ended, and print the report."""
        with interruptible(self._resume_hint), BatchProgressBar(self.cli, self.batch_id) as bar:
            try:
                progress = self.cli.with_producer(lambda producer: self._run(producer, bar, timeout_s, wait=wait))
            except QueueUnavailable as exc:
                cause = exc.__cause__ if isinstance(exc.__cause__, QueueUnavailable) else exc
                raise type(exc)(f"{cause}; {self._resume_hint()}") from exc
        assert self.report is not None  # noqa: S101 - `_run` set it, or raised an error
        return self._print_report(self.report, progress)

    async def _run(
        self, producer: Producer, bar: BatchProgressBar, timeout_s: float | None, *, wait: bool
    ) -> Progress | None:
        batch = await self._enqueue(producer, bar)
        self.report = batch.report
        if not wait:
            return None
        if not self.cli.as_json:
            self.cli.screen.note(f"batch {self.batch_id} is enqueued; Ctrl-C leaves it running")
        return await wait_until_complete(batch, timeout_s, bar.show_progress)

    async def _enqueue(self, producer: Producer, bar: BatchProgressBar) -> Batch:
        def on_chunk(report: FanOutReport) -> None:
            self.enqueued = report.accepted + report.already_there
            _reraise_cancellation()
            bar.show_enqueued(self.enqueued + len(report.refused), self.validation.valid)

        fan_out = partial(
            producer.fan_out, batch_id=self.batch_id, ttl_s=self.ttl_s, priority=self.priority, on_chunk=on_chunk
        )
        rows = self._valid_rows()
        if not self.validation.users_only:
            return await fan_out(row.change for row in rows)
        common = self.followers.template.common_change()
        return await fan_out(
            trader_id=common.trader_id,
            settings=common.settings,
            auto_copy=common.auto_copy,
            mode=common.mode,
            user_ids=(row.change.user_id for row in rows),
        )

    def _valid_rows(self) -> Iterator[ValidRow]:
        """Yield the valid rows and store their line numbers; raise BadInput if the file changed since validation."""
        invalid = 0
        for row in self.followers:
            if isinstance(row, ValidRow):
                self.lines.append(row.line)
                yield row
            else:
                invalid += 1
        if (len(self.lines), invalid) != (self.validation.valid, self.validation.invalid):
            raise BadInput(f"the file was changed while it was read; {self._resume_hint()}")

    def _print_report(self, report: FanOutReport, progress: Progress | None) -> ExitCode:
        refused = [self._row_error(refusal) for refusal in report.refused]
        invalid = self.validation.invalid + len(refused)
        all_applied = progress is None or progress.outcomes.get(Outcome.APPLIED, 0) == progress.total
        if self.cli.as_json:
            self.cli.screen.json(
                {
                    "batchId": self.batch_id,
                    "given": self.validation.valid + self.validation.invalid,
                    "accepted": report.accepted,
                    "alreadyThere": report.already_there,
                    "bad": invalid,
                    "faults": [*self.validation.errors, *refused],
                    "faultsLeftOut": self.validation.invalid - len(self.validation.errors),
                    "progress": progress,
                }
            )
        else:
            for line in row_error_lines(refused, len(refused)):
                self.cli.screen.note(line)
            details = [("batch", self.batch_id), ("accepted", format_count(report.accepted))]
            if report.already_there:
                details.append(("already there", format_count(report.already_there)))
            if invalid:
                details.append(("not accepted", format_count(invalid)))
            if progress is not None:
                details.append(("ended", outcome_counts(progress.outcomes)))
            self.cli.screen.details(details)
            if progress is None:
                self.cli.screen.note(f"follow it with: copytrade batch watch {self.batch_id}")
            elif not all_applied:
                self.cli.screen.note(f"see what was not applied: copytrade batch results --failed {self.batch_id}")
        return ExitCode.DONE if all_applied and not invalid else ExitCode.FAILED

    def _row_error(self, refusal: Refusal) -> RowError:
        line = self.lines[refusal.index]
        if isinstance(refusal.error, InvalidChange):
            return RowError.from_invalid_change(line, refusal.error)
        return RowError(line, "line", str(refusal.error), "")

    def _resume_hint(self) -> str:
        if self.report is not None:
            return f"the batch continues; follow it with: copytrade batch watch {self.batch_id}"
        if not self.enqueued:
            return f"the same command with --batch-id {self.batch_id} adds only what is missing"
        return (
            f"about {format_count(self.enqueued)} of {plural(self.validation.valid, 'change')} enqueued;"
            f" they continue; the same command with --batch-id {self.batch_id} adds only what is missing"
        )


def _reraise_cancellation() -> None:
    """Raise CancelledError if this task was cancelled and redis-py lost it; see `context._run_cancellable`."""
    task = current_task()
    if task is not None and task.cancelling():
        raise CancelledError
