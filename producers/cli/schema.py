"""`copytrade schema`: the JSON Schema of changes and results."""

from __future__ import annotations

import click

from producers.cli.context import CliContext, QueueCommand, pass_cli


@click.command(cls=QueueCommand, short_help="Print the JSON Schema of changes and results.")
@pass_cli
def schema(cli: CliContext) -> None:
    """Print the JSON Schema of changes and results."""
    from producers.contract.schema import schema as message_schema  # noqa: PLC0415 - slow, and only used here

    cli.screen.json(message_schema(), indented=True)
