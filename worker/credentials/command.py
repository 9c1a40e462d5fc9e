"""`copytrade credentials ...`: administration of the users' API keys that are sealed in Redis.

The command is listed even without the `worker` extra, so modules that need the extra are imported inside functions.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import click
from redis.asyncio import Redis

from producers.cli.context import CliContext, CommandGroup, pass_cli
from producers.cli.errors import CommandFailed
from producers.cli.exit_codes import ExitCode
from producers.cli.input.row_errors import BadInput
from producers.cli.shared_options import confirm, yes_option
from producers.cli.text import EMPTY_CELL, format_count, format_time
from producers.contract.validation import check_id
from producers.transport.dsn import open_redis
from worker.credentials import prompts
from worker.credentials.sealed_records import SealedRecords
from worker.errors import CredentialsError
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from worker.credentials.admin import CredentialAdmin, RecordSummary

T = TypeVar("T")

MAX_RECORDS_SHOWN = 20

LIST_COLUMNS = ("user", "key", "set", "demo", "fingerprint", "problem")
NO_CREDENTIALS = "there are no credentials in Redis"


@click.group(cls=CommandGroup, short_help="Set, list, rotate and remove users' API keys in Redis.")
def credentials() -> None:
    """Manage users' API keys in Redis, sealed with the key ring of COPYTRADE_CREDENTIALS_KEYS.

    Workers read them if COPYTRADE_CREDENTIALS is redis:. Secrets are typed, or come from standard input.
    """


@credentials.command("new-key")
@click.option("--id", "key_id", metavar="ID", help="The key's ID; by default the date and four random digits.")
@pass_cli
def new_key(cli: CliContext, key_id: str | None) -> None:
    """Print an entry with a new key for the key ring. It is a secret, and is not stored anywhere."""
    with _cli_errors():
        from worker.credentials.key_ring import new_entry  # noqa: PLC0415 - see the module docstring

        entry = new_entry(key_id or f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}")
    new_id, _, key = entry.partition(":")
    cli.print_result({"keyId": new_id, "key": key, "entry": entry}, entry)


@credentials.command("set", short_help="Set the keys of one user or of many.")
@click.argument("user_id", metavar="[USER]", required=False)
@click.option("--from-stdin", is_flag=True, help="Many users: one JSON object per line, with userId.")
@click.option("--demo", is_flag=True, help="The keys belong to demo trading.")
@pass_cli
def set_credentials(cli: CliContext, user_id: str | None, from_stdin: bool, demo: bool) -> None:
    """Set a user's keys.

    They are typed without echo, or read from standard input: three lines, or a JSON object with apiKey, secretKey,
    passphrase and, optionally, demo. With --from-stdin instead of USER, standard input has one such object per
    line, with userId; if a line is invalid, nothing is set. Workers use new keys within a minute.
    """
    if from_stdin is (user_id is not None) or (from_stdin and demo):
        raise BadInput("give either USER, or --from-stdin and one JSON object per line, each with its own demo")
    with _cli_errors():
        users = prompts.read_users() if from_stdin else [prompts.read_user(check_id("USER", user_id), demo=demo)]
    new = _with_admin(cli, lambda admin: admin.put(users))
    replaced = len(users) - new
    cli.print_result(
        {"set": len(users), "new": new, "replaced": replaced},
        f"{format_count(len(users))} set: {format_count(new)} new, {format_count(replaced)} replaced",
    )


@credentials.command("list", short_help="List users, without their secrets.")
@pass_cli
def list_credentials(cli: CliContext) -> ExitCode:
    """List users: the key that sealed their credentials, the time, and a fingerprint.

    The fingerprint changes with the credentials. The exit status is 1 if a record cannot be opened.
    """

    async def work(admin: CredentialAdmin) -> list[RecordSummary]:
        return sorted([record async for record in admin.list_records()], key=lambda record: record.user_id)

    records = _with_admin(cli, work)
    if cli.as_json:
        for record in records:
            cli.screen.json_line(record)
    else:
        cli.screen.table(LIST_COLUMNS, map(_row, records), empty_note=NO_CREDENTIALS)
    return ExitCode.FAILED if any(record.problem for record in records) else ExitCode.DONE


@credentials.command(short_help="Seal all records with the first key of the ring.")
@click.option("--check", is_flag=True, help="Only print how many records each key sealed.")
@pass_cli
def rotate(cli: CliContext, check: bool) -> ExitCode:
    """Seal every record with the first key of the ring.

    This can be interrupted and repeated, and does not overwrite keys that are set meanwhile. The exit status is 1 if a
    record is left that another key sealed.
    """
    return _print_key_usage(cli) if check else _rotate(cli)


@credentials.command()
@click.argument("user_id", metavar="USER")
@yes_option()
@pass_cli
def remove(cli: CliContext, user_id: str, yes: bool) -> None:
    """Remove a user's keys.

    After at most a minute, the user's queued changes end unauthorized.
    """
    check_id("USER", user_id)
    confirm(f"Remove the keys of user {user_id}?", yes=yes)
    if not _with_records(cli, lambda records: records.remove(user_id)):
        message = f"user {user_id} has no keys in Redis; see: copytrade credentials list"
        raise CommandFailed(ExitCode.NOT_FOUND, message)
    cli.print_result({"userId": user_id, "removed": True}, f"removed the keys of user {user_id}")


def _rotate(cli: CliContext) -> ExitCode:
    report = _with_admin(cli, lambda admin: admin.rotate())
    rotated, already = format_count(report.rotated), format_count(report.already)
    unreadable = f", {format_count(len(report.unreadable))} unreadable" if report.unreadable else ""
    cli.print_result(report, f"{rotated} sealed again with {report.first_key}, {already} were already{unreadable}")
    _note_unreadable(cli, report.unreadable)
    return ExitCode.FAILED if report.unreadable else ExitCode.DONE


def _print_key_usage(cli: CliContext) -> ExitCode:
    usage = _with_admin(cli, lambda admin: admin.key_usage())
    if cli.as_json:
        cli.screen.json(usage)
    else:
        by_key = sorted(usage.by_key.items())
        rows = ((key, format_count(number), "first" if key == usage.first_key else "") for key, number in by_key)
        cli.screen.table(("key", "users", "place"), rows, empty_note=NO_CREDENTIALS)
    _note_unreadable(cli, usage.unreadable)
    return ExitCode.FAILED if usage.left else ExitCode.DONE


def _note_unreadable(cli: CliContext, records: list[RecordSummary]) -> None:
    if cli.as_json:
        return
    for record in records[:MAX_RECORDS_SHOWN]:
        cli.screen.note(f"user {record.user_id}: {record.problem}")
    if len(records) > MAX_RECORDS_SHOWN:
        cli.screen.note(f"... and {format_count(len(records) - MAX_RECORDS_SHOWN)} more; --json lists them")


def _row(record: RecordSummary) -> tuple[str, ...]:
    demo = EMPTY_CELL if record.demo is None else "yes" if record.demo else "no"
    optional = (record.fingerprint or EMPTY_CELL, record.problem or EMPTY_CELL)
    return (record.user_id, record.key_id or EMPTY_CELL, format_time(record.set_at_ms), demo, *optional)


def _with_admin(cli: CliContext, work: Callable[[CredentialAdmin], Awaitable[T]]) -> T:
    """Run `work` with a `CredentialAdmin`, which has the key ring that the settings name."""
    with _cli_errors():
        from worker.credentials.admin import CredentialAdmin  # noqa: PLC0415 - see the module docstring
        from worker.credentials.sources import load_key_ring  # noqa: PLC0415 - see the module docstring

        ring = load_key_ring(WorkerSettings.from_env())
        return _with_records(cli, lambda records: work(CredentialAdmin(records, ring)))


def _with_records(cli: CliContext, work: Callable[[SealedRecords], Awaitable[T]]) -> T:
    """Run `work` with the records in Redis, and close the connection."""
    settings = WorkerSettings.from_env()
    dsn = cli.redis_dsn or settings.redis_dsn
    redis = open_redis(dsn, Redis, timeout_s=settings.redis_timeout_s, keyspace=settings.keyspace)

    async def connected() -> T:
        async with redis:
            return await work(SealedRecords(redis))

    return cli.run_async(connected())


@contextmanager
def _cli_errors() -> Iterator[None]:
    """Turn errors of the `worker` package into errors that the command line reports."""
    try:
        yield
    except CredentialsError as exc:
        raise BadInput(str(exc)) from None
    except ModuleNotFoundError as exc:
        message = f"{exc.name} is not installed here; install copytrade-settings[worker]"
        raise CommandFailed(ExitCode.BAD_INPUT, message) from None
