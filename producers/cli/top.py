"""`copytrade top`: what the queue is doing, now and now again."""

from __future__ import annotations

import asyncio

import click
from rich.live import Live
from rich.text import Text

from producers import Producer, QueueUnavailable
from producers.cli.context import QueueCommand, Run, pass_run
from producers.cli.overview_view import view
from producers.cli.text import safe
from producers.monitor.overview_types import Overview

LEAST_S, MOST_S = 0.2, 3600


@click.command(cls=QueueCommand, short_help="Watch lanes, buckets, holds, workers and rates.")
@click.option("--once", is_flag=True, help="Show it once. So it is without a terminal, unless --json.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(LEAST_S, MOST_S),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often.",
)
@pass_run
def top(run: Run, once: bool, every_s: float) -> None:
    """Watch lanes, buckets, holds, workers and rates, until Ctrl-C. With --json, a line each time."""
    live = not once and (run.as_json or run.screen.out.is_terminal)

    async def work(producer: Producer) -> None:
        if run.as_json:
            await _as_lines(run, producer, every_s if live else None)
        elif live:
            await _as_screen(run, producer, every_s)
        else:
            run.screen.show(view(await producer.overview(), None))

    try:
        run.ask(work)
    except KeyboardInterrupt:
        return


async def _as_lines(run: Run, producer: Producer, every_s: float | None) -> None:
    while True:
        run.screen.json_line(await producer.overview())
        if every_s is None:
            return
        await asyncio.sleep(every_s)


async def _as_screen(run: Run, producer: Producer, every_s: float) -> None:
    earlier: Overview | None = None
    with Live(console=run.screen.out, auto_refresh=False, screen=True) as screen:
        while True:
            try:
                now = await producer.overview()
            except QueueUnavailable as exc:
                if earlier is None:
                    raise
                screen.update(Text(safe(f"{exc}; trying again")), refresh=True)
            else:
                screen.update(view(now, earlier), refresh=True)
                earlier = now
            await asyncio.sleep(every_s)
