"""The command `copytrade`: its own commands, and those that other packages add."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

import click

from producers.cli import batches, changes, dead, doctor, fan_out, pauses, schema, top, users
from producers.cli.context import Family, Run, run_options
from producers.cli.errors import EXPECTED, PROG, Ended, report
from producers.cli.exit_codes import Exit, epilogue

DISTRIBUTION = "copytrade-settings"
COMMANDS_GROUP = "copytrade.commands"
"""Entry points of this group are click commands that join `copytrade` under the entry point's name."""


class Root(Family):
    """The whole command line. Commands of other packages are loaded when they are asked for, or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, our own first, in the order in which they are met."""
        del ctx
        return [*self.commands, *sorted(set(_joined()) - set(self.commands))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command; None, and a warning, if another package's cannot be loaded."""
        try:
            return self.commands.get(cmd_name) or _load(cmd_name)
        except Ended as exc:
            ctx.ensure_object(Run).screen.note(f"{PROG}: warning: {exc}")
            return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words ask for; one that cannot be loaded is an error, for it was asked for."""
        joined = None if args[0] in self.commands else _load(args[0])
        return super().resolve_command(ctx, args) if joined is None else (args[0], joined, args[1:])

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> int:
        """Runs a command; exits with its status, or returns it if not `standalone_mode`."""
        words = list(sys.argv[1:] if args is None else args)
        run = Run(as_json="--json" in words)
        try:
            value = super().main(words, prog_name or PROG, complete_var, standalone_mode=False, obj=run, **extra)
        except click.exceptions.NoArgsIsHelpError as exc:
            exc.show()
            status = int(Exit.BAD_INPUT)
        except EXPECTED as exc:
            status = report(run, exc)
        else:
            status = value if isinstance(value, int) else Exit.DONE
        if standalone_mode:
            sys.exit(status)
        return status


def _joined() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=COMMANDS_GROUP)}


def _load(name: str) -> click.Command | None:
    """Another package's command; None if there is none of that name.

    Raises:
        Ended: it cannot be loaded.
    """
    point = _joined().get(name)
    if point is None:
        return None
    try:
        command = point.load()
    except Exception as exc:  # noqa: BLE001 - whatever another package does wrong, the other commands go on
        fault = f"{type(exc).__name__}: {exc}"
    else:
        if isinstance(command, click.Command):
            return command
        fault = "it is no click command"
    source = point.dist.name if point.dist is not None else point.value
    raise Ended(Exit.NOT_ALL, f"the command {name!r} of {source} cannot be loaded: {fault}; update or reinstall it")


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        try:
            number = version(DISTRIBUTION)
        except PackageNotFoundError:
            number = "(not installed)"
        click.echo(f"{PROG} {number}")
        context.exit()


root = Root(
    name=PROG,
    help="Change the copy-trade settings of many followers, through the queue.",
    epilog=epilogue(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    params=[
        *run_options(),
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_version,
            help="Print the version.",
        ),
    ],
)
for command in (
    changes.enqueue,
    fan_out.fan_out,
    changes.status,
    changes.result,
    changes.cancel,
    batches.batch,
    users.user,
    pauses.pause,
    pauses.resume,
    pauses.paused,
    dead.dead,
    top.top,
    doctor.doctor,
    schema.schema,
):
    root.add_command(command)
