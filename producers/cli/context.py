"""The state of one invocation: its global options, its output, and access to the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click
from click.core import augment_usage_errors

from producers import Producer, ShardsUnavailable
from producers.cli.screen import Screen
from producers.contract.wording import plural
from producers.transport.daemon_executor import DaemonExecutor
from producers.transport.dsn_parser import InvalidDsn, parse_dsn

T = TypeVar("T")

CANCEL_INTERVAL_S = 0.2
"""Time between cancellations of an interrupted command that has not stopped yet."""


@dataclass(slots=True)
class CliContext:
    """The state of one invocation, which click passes to the command.

    Attributes:
        redis_dsn: value of --redis; None for the DSN of the environment.
        as_json: whether --json was given.
        screen: standard output and standard error.
        command: the command that runs.
    """

    redis_dsn: str | None = field(default=None, repr=False)
    as_json: bool = False
    screen: Screen = field(default_factory=Screen)
    command: click.Command | None = None

    def print_result(self, document: object, text: str) -> None:
        """Print a result: `document` with --json, `text` without."""
        if self.as_json:
            self.screen.json(document)
        else:
            self.screen.print(text)

    def note_malformed(self, count: int) -> None:
        """Say on standard error how many stored entries were left out, if any."""
        if count and self.as_json:
            self.screen.json_note({"malformed": count})
        elif count:
            entries = plural(count, "stored entry")
            self.screen.note(f"left out {entries} that cannot be read: something else writes to this Redis's keys")

    def with_producer(self, work: Callable[[Producer], Awaitable[T]]) -> T:
        """Run `work` with a connected producer, close the producer, and return the result of `work`.

        Raises:
            SettingsError: the DSN or an environment variable is invalid.
        """

        async def connected() -> T:
            async with Producer.connect(self.redis_dsn) as producer:
                return await work(producer)

        return self.run_async(connected())

    def show(self, work: Callable[[Producer], Awaitable[T]], show: Callable[[T], None]) -> None:
        """Run `work` with a connected producer, and show its result with `show`.

        Of a queue with shards that do not all answer, show what the others say before the error is reported.

        Raises:
            SettingsError: the DSN or an environment variable is invalid.
        """
        try:
            found = self.with_producer(work)
        except ShardsUnavailable as exc:
            if exc.partial is not None:
                show(exc.partial)
            raise
        show(found)

    def run_async(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in a new event loop until it ends or Ctrl-C is pressed."""
        return asyncio.run(_run_cancellable(work))


pass_cli = click.make_pass_decorator(CliContext)


def _store_dsn(context: click.Context, param: click.Parameter, dsn: str | None) -> None:
    """Store the value of --redis if it was given here: the option may stand before and after a command's name."""
    if not dsn:
        return
    try:
        parse_dsn(dsn)
    except InvalidDsn as exc:
        problem = str(exc)
    else:
        context.ensure_object(CliContext).redis_dsn = dsn
        return
    raise click.BadParameter(problem, context, param)


def _store_as_json(context: click.Context, _: click.Parameter, as_json: bool) -> None:
    if as_json:
        context.ensure_object(CliContext).as_json = True


def global_options() -> list[click.Parameter]:
    """Return the options that every command accepts."""
    return [
        click.Option(
            ["--redis"],
            metavar="DSN",
            expose_value=False,
            callback=_store_dsn,
            help="Address of Redis; the default is COPYTRADE_REDIS_DSN, or redis://localhost:6379/0.",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_store_as_json,
            help="Print JSON: one document, or one line per item of a list.",
        ),
    ]


class QueueCommand(click.Command):
    """A command with the global options after its own, and examples at the end of its help."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += global_options()
        self.examples = examples
        if examples:
            self.epilog = "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments.

        An option as the value of another is refused: that one's value was forgotten. Click's parser leaves the
        command out of some errors, such as a value for a flag.
        """
        with augment_usage_errors(ctx):
            remaining = super().parse_args(ctx, args)
        options = (name for param in self.get_params(ctx) for name in (*param.opts, *param.secondary_opts))
        names = {name for name in options if name.startswith("--")}
        for param in self.params:
            if isinstance(param, click.Option) and ctx.params.get(param.name or "") in names:
                raise click.BadOptionUsage(param.opts[0], f"{param.opts[0]} needs a value", ctx)
        return remaining

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and note for the report of errors that it ran."""
        ctx.ensure_object(CliContext).command = self
        return super().invoke(ctx)


class CommandGroup(click.Group):
    """A group of `QueueCommand`s and groups like itself, with the global options before their names."""

    command_class = QueueCommand
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += global_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments as `QueueCommand` does."""
        with augment_usage_errors(ctx):
            return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of their definition; click would sort them."""
        del ctx
        return list(self.commands)


async def _run_cancellable(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; if this task is cancelled, cancel `work` repeatedly until it has ended.

    One cancellation can be lost: before Python 3.12, `asyncio.wait_for`, which redis-py uses, drops one that arrives
    when the awaited result is ready. Work that awaits nothing else must check for cancellation itself.
    """
    asyncio.get_running_loop().set_default_executor(DaemonExecutor())
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_INTERVAL_S)
        if not task.cancelled():
            task.exception()  # mark it as retrieved: only the interruption is reported
        raise
    return task.result()
