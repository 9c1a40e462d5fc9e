"""`copytrade schema`: what a change and a result look like, as JSON Schema."""

from __future__ import annotations

import click

from producers.cli.context import QueueCommand, Run, pass_run


@click.command(cls=QueueCommand, short_help="Print the JSON Schema of changes and results.")
@pass_run
def schema(run: Run) -> None:
    """Print the JSON Schema of changes and results."""
    from producers.contract.schema import schema as of_messages  # noqa: PLC0415 - no other command pays for making it

    run.screen.json(of_messages(), for_files=True)
