"""The top-level group `copytrade`: its own commands, and commands that other packages add by entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

import click

from producers.cli import batches, changes, dead_letters, doctor, fan_out, migrate, pauses, schema, top, users
from producers.cli.context import CliContext, CommandGroup
from producers.cli.errors import EXPECTED_ERRORS, PROG, CommandFailed, report_error
from producers.cli.exit_codes import ExitCode, help_epilog

DISTRIBUTION = "copytrade-settings"
COMMANDS_GROUP = "copytrade.commands"
"""Entry points of this group are click commands; each is added to `copytrade` under the entry point's name."""


class Root(CommandGroup):
    """The top-level group. Commands of other packages are loaded only when they run or are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names: the built-in commands in their order, then those of other packages."""
        del ctx
        return [*self.commands, *sorted(set(_plugins()) - set(self.commands))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; if a command of another package cannot be loaded, print a warning and return None."""
        try:
            return self.commands.get(cmd_name) or _load_plugin(cmd_name)
        except CommandFailed as exc:
            ctx.ensure_object(CliContext).screen.note(f"{PROG}: warning: {exc}")
            return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command to run; unlike `get_command`, raise an error if it cannot be loaded."""
        plugin = None if args[0] in self.commands else _load_plugin(args[0])
        return super().resolve_command(ctx, args) if plugin is None else (args[0], plugin, args[1:])

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments; this prints the help and the version."""
        with _naming_broken_pipes():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _naming_broken_pipes():
            return super().invoke(ctx)

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> int:
        """Run a command; exit with its exit code, or return the code if `standalone_mode` is false."""
        arguments = list(sys.argv[1:] if args is None else args)
        cli = CliContext(as_json="--json" in arguments)
        try:
            value = super().main(arguments, prog_name or PROG, complete_var, standalone_mode=False, obj=cli, **extra)
            sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as exc:
            exc.show()  # no words at all: the help
            exit_code = int(ExitCode.BAD_INPUT)
        except EXPECTED_ERRORS as exc:
            exit_code = ExitCode.FAILED
            with suppress(OSError):  # standard error may be full or closed, too
                exit_code = report_error(cli, exc)
        else:
            exit_code = value if isinstance(value, int) else ExitCode.DONE
        if standalone_mode:
            sys.exit(exit_code)
        return exit_code


@contextmanager
def _naming_broken_pipes() -> Iterator[None]:
    """Raise CommandFailed instead of BrokenPipeError, which click would turn into exit code 1."""
    try:
        yield
    except BrokenPipeError:
        raise CommandFailed(ExitCode.BROKEN_PIPE, "the output was closed") from None


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=COMMANDS_GROUP)}


def _load_plugin(name: str) -> click.Command | None:
    """Return another package's command; None if there is none of that name.

    Raises:
        CommandFailed: it cannot be loaded.
    """
    point = _plugins().get(name)
    if point is None:
        return None
    try:
        command = point.load()
    except Exception as exc:  # noqa: BLE001 - an error in another package must not affect other commands
        problem = f"{type(exc).__name__}: {exc}"
    else:
        if isinstance(command, click.Command):
            return command
        problem = "it is not a click command"
    source = point.dist.name if point.dist is not None else point.value
    message = f"the command {name!r} of {source} cannot be loaded: {problem}; update or reinstall it"
    raise CommandFailed(ExitCode.FAILED, message)


def _print_version(context: click.Context, _: click.Parameter, requested: bool) -> None:
    if requested and not context.resilient_parsing:
        try:
            number = version(DISTRIBUTION)
        except PackageNotFoundError:
            number = "(not installed)"
        click.echo(f"{PROG} {number}")
        context.exit()


root = Root(
    name=PROG,
    help="Change the copy-trade settings of many followers through the queue.",
    epilog=help_epilog(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    params=[
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
    dead_letters.dead,
    top.top,
    doctor.doctor,
    migrate.migrate,
    schema.schema,
):
    root.add_command(command)
