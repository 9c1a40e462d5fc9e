"""`copytrade top`: the state of the queue, printed once or updated repeatedly."""

from __future__ import annotations

import asyncio
from functools import partial

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from producers import Producer, QueueUnavailable, ShardsUnavailable
from producers.cli import signals
from producers.cli.context import CliContext, QueueCommand, pass_cli
from producers.cli.number_types import Number
from producers.cli.overview_view import render_overview, summary, tables
from producers.cli.screen import Screen
from producers.cli.text import escape
from producers.monitor.overview_types import Overview

MIN_INTERVAL_S, MAX_INTERVAL_S = 0.2, 3600


@click.command(cls=QueueCommand, short_help="Watch lanes, buckets, holds, workers and rates.")
@click.option(
    "--once",
    is_flag=True,
    help="Show the state once. Without --json, this is the default if the output is not a terminal.",
)
@click.option(
    "--every",
    "interval_s",
    type=Number(MIN_INTERVAL_S, MAX_INTERVAL_S),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between updates.",
)
@pass_cli
def top(cli: CliContext, once: bool, interval_s: float) -> None:
    """Watch lanes, buckets, holds, workers and rates until Ctrl-C. With --json, print a line per update."""
    live = not once and (cli.as_json or cli.screen.out.is_terminal)

    show = cli.screen.json_line if cli.as_json else partial(_print_once, cli.screen)
    try:
        if not live:
            cli.show(lambda producer: producer.overview(), show)
        elif cli.as_json:
            cli.with_producer(lambda producer: _print_lines(cli, producer, interval_s))
        else:
            cli.with_producer(lambda producer: _update_screen(cli, producer, interval_s))
    except KeyboardInterrupt:  # the usual end
        if signals.was_terminated():
            raise


async def _print_lines(cli: CliContext, producer: Producer, interval_s: float) -> None:
    while True:
        cli.screen.json_line(await producer.overview())
        await asyncio.sleep(interval_s)


def _print_once(screen: Screen, overview: Overview) -> None:
    if screen.out.is_terminal:
        screen.out.print(render_overview(overview, None))
        return
    screen.details(summary(overview, None))
    for table in tables(overview):
        screen.print("")
        if table.rows:
            screen.table(table.columns, table.rows)
        else:
            screen.print(table.empty_note)
        if table.more:
            screen.print(table.more)


async def _update_screen(cli: CliContext, producer: Producer, interval_s: float) -> None:
    previous: Overview | None = None
    with Live(console=cli.screen.out, auto_refresh=False, screen=True) as live:
        while True:
            try:
                overview = await producer.overview()
            except QueueUnavailable as exc:
                note = Text(escape(f"{exc}; trying again"))
                if isinstance(exc, ShardsUnavailable):
                    live.update(Group(note, Text(""), render_overview(exc.partial, None)), refresh=True)
                elif previous is None:
                    raise
                else:
                    live.update(note, refresh=True)
            else:
                live.update(render_overview(overview, previous), refresh=True)
                previous = overview
            await asyncio.sleep(interval_s)
