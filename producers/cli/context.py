"""One run of the command line: the options that every command has, the screen, and the way to the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from producers import Producer
from producers.cli.screen import Screen

T = TypeVar("T")

CANCEL_AGAIN_S = 0.2


@dataclass(slots=True)
class Run:
    """One run.

    Attributes:
        redis_dsn: where Redis is; None leaves that to the environment.
        as_json: whether programs read the output.
        screen: where it goes.
    """

    redis_dsn: str | None = None
    as_json: bool = False
    screen: Screen = field(default_factory=Screen)

    def connect(self) -> Producer:
        """A producer for the Redis of this run.

        Raises:
            SettingsError: the DSN or a variable cannot be used.
        """
        return Producer.connect(self.redis_dsn)

    def ask(self, work: Callable[[Producer], Awaitable[T]]) -> T:
        """What the work returns, given a producer that is closed afterwards."""

        async def connected() -> T:
            async with self.connect() as producer:
                return await work(producer)

        return self.complete(connected())

    def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work returns, in an event loop of its own; Ctrl-C ends it."""
        return asyncio.run(_heeding_interrupts(work))


pass_run = click.make_pass_decorator(Run)


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Keeps an option's value for the run, wherever on the line it was given."""

    def remember(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.ensure_object(Run), name, value)

    return remember


def run_options() -> list[click.Parameter]:
    """The options that every command has."""
    return [
        click.Option(
            ["--redis"],
            metavar="DSN",
            expose_value=False,
            callback=_remember("redis_dsn"),
            help="Where Redis is; by default COPYTRADE_REDIS_DSN, or redis://localhost:6379/0.",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_remember("as_json"),
            help="Print JSON: one document, or a line for each of many.",
        ),
    ]


class QueueCommand(click.Command):
    """A command with the options that every command has, after its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += run_options()


class Family(click.Group):
    """Commands about one kind of thing."""

    command_class = QueueCommand


async def _heeding_interrupts(work: Coroutine[Any, Any, T]) -> T:
    """Cancels the work for as long as it takes.

    Before Python 3.12, `asyncio.wait_for`, with which redis-py waits, loses a cancellation that comes just when
    what it waits for is there. Work that hardly ever waits for anything else must look for it itself.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
        if not task.cancelled():
            task.exception()  # seen: the interruption is what is told
        raise
    return task.result()
