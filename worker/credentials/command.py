"""`copytrade credentials ...`: users' API keys in Redis, sealed.

It is listed without the worker's extra too; what needs that is imported when a command runs.
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
from producers.cli.text import EMPTY_CELL, format_count, format_time
from producers.contract.validation import check_id
from producers.transport.dsn import open_redis
from worker.credentials import prompts
from worker.credentials.sealed_records import SealedRecords
from worker.errors import CredentialsError
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from worker.credentials.admin import CredentialAdmin, KeyUsage, RecordSummary, RotationReport

T = TypeVar("T")

MOST_SHOWN = 20

LIST_COLUMNS = ("user", "key", "set", "demo", "fingerprint", "problem")


@click.group(cls=CommandGroup, short_help="Set, list, rotate and remove users' API keys in Redis.")
def credentials() -> None:
    """Users' API keys in Redis, sealed with the key ring of COPYTRADE_CREDENTIALS_KEYS; workers read them with
    COPYTRADE_CREDENTIALS=redis:. Secrets are typed, or come from standard input.
    """


@credentials.command("new-key")
@click.option("--id", "key_id", metavar="ID", help="The key's ID; by default the day and four random digits.")
@pass_cli
def new_key(cli: CliContext, key_id: str | None) -> None:
    """Print a fresh entry for the key ring. It is a secret, and is kept nowhere else."""
    with _refusals():
        from worker.credentials.key_ring import new_entry  # noqa: PLC0415 - see the top

        entry = new_entry(key_id or f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}")
    if cli.as_json:
        made_id, _, key = entry.partition(":")
        cli.screen.json({"keyId": made_id, "key": key, "entry": entry})
    else:
        cli.screen.print(entry)


@credentials.command("set", short_help="Set the keys of a user, or of many.")
@click.argument("user_id", metavar="[USER]", required=False)
@click.option("--from-stdin", is_flag=True, help="Many users: a JSON object a line, with userId.")
@click.option("--demo", is_flag=True, help="The keys are of demo trading.")
@pass_cli
def set_credentials(cli: CliContext, user_id: str | None, from_stdin: bool, demo: bool) -> None:
    """Set a user's keys, typed without being shown, or from standard input: three lines, or a JSON object with apiKey,
    secretKey, passphrase and, if it is so, demo. With --from-stdin instead of USER, such an object a line, with userId;
    nothing is set if a line is wrong. Workers use new keys within a minute.
    """
    if from_stdin is (user_id is not None) or (from_stdin and demo):
        raise BadInput("give either USER, or --from-stdin and a JSON object a line, each with its own demo")
    with _refusals():
        users = prompts.many_given() if user_id is None else [prompts.one_given(check_id("USER", user_id), demo=demo)]

    async def work(keeper: CredentialAdmin) -> int:
        return await keeper.put(users)

    new = _keep(cli, work)
    if cli.as_json:
        cli.screen.json({"set": len(users), "new": new, "replaced": len(users) - new})
    else:
        cli.screen.print(
            f"{format_count(len(users))} set: {format_count(new)} new, {format_count(len(users) - new)} replaced"
        )


@credentials.command("list", short_help="List users, without their secrets.")
@pass_cli
def list_credentials(cli: CliContext) -> ExitCode:
    """List users: the key that seals theirs, when they were set, a fingerprint that changes with them. The exit status
    is 1 if some cannot be opened.
    """

    async def work(keeper: CredentialAdmin) -> list[RecordSummary]:
        return sorted([entry async for entry in keeper.list_records()], key=lambda entry: entry.user_id)

    found = _keep(cli, work)
    if cli.as_json:
        for entry in found:
            cli.screen.json_line(entry)
    else:
        cli.screen.table(LIST_COLUMNS, map(_row, found), nothing="there are no credentials in Redis")
    return ExitCode.FAILED if any(entry.problem for entry in found) else ExitCode.DONE


@credentials.command(short_help="Seal anew what is not under the first key.")
@click.option("--check", is_flag=True, help="Only say how many are left under which key.")
@pass_cli
def rotate(cli: CliContext, check: bool) -> ExitCode:
    """Seal anew, under the first key of the ring, what is sealed with another. It can be broken off and repeated, and
    never undoes what is set meanwhile. The exit status is 1 if something is left.
    """
    return _check(cli) if check else _rotate(cli)


@credentials.command()
@click.argument("user_id", metavar="USER")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_cli
def remove(cli: CliContext, user_id: str, yes: bool) -> None:
    """Remove a user's keys.

    Their queued changes end unauthorized, from a minute later at the latest.
    """
    check_id("USER", user_id)
    if not yes:
        if not prompts.somebody_types():
            raise BadInput("nobody can be asked here; add --yes")
        click.confirm(f"Remove the keys of user {user_id}?", abort=True, err=True)

    async def work(records: SealedRecords) -> bool:
        return await records.remove(user_id)

    if not _on_records(cli, work):
        raise CommandFailed(ExitCode.NOT_FOUND, f"user {user_id} has no keys in Redis; see: copytrade credentials list")
    if cli.as_json:
        cli.screen.json({"userId": user_id, "removed": True})
    else:
        cli.screen.print(f"removed the keys of user {user_id}")


def _rotate(cli: CliContext) -> ExitCode:
    async def work(keeper: CredentialAdmin) -> RotationReport:
        return await keeper.rotate()

    done = _keep(cli, work)
    if cli.as_json:
        cli.screen.json(done)
    else:
        left = f", {format_count(len(done.unreadable))} unreadable" if done.unreadable else ""
        said = f"{format_count(done.rotated)} sealed anew under {done.first_key}, {format_count(done.already)} were already"
        cli.screen.print(said + left)
        _note_unreadable(cli, done.unreadable)
    return ExitCode.FAILED if done.unreadable else ExitCode.DONE


def _check(cli: CliContext) -> ExitCode:
    async def work(keeper: CredentialAdmin) -> KeyUsage:
        return await keeper.key_usage()

    found = _keep(cli, work)
    if cli.as_json:
        cli.screen.json(found)
    else:
        rows = (
            (key, format_count(number), "first" if key == found.first_key else "") for key, number in _sorted(found)
        )
        cli.screen.table(("key", "users", "place"), rows, nothing="there are no credentials in Redis")
        _note_unreadable(cli, found.unreadable)
    return ExitCode.FAILED if found.left else ExitCode.DONE


def _sorted(found: KeyUsage) -> list[tuple[str, int]]:
    return sorted(found.by_key.items())


def _note_unreadable(cli: CliContext, records: list[RecordSummary]) -> None:
    for entry in records[:MOST_SHOWN]:
        cli.screen.note(f"user {entry.user_id}: {entry.problem}")
    if len(records) > MOST_SHOWN:
        cli.screen.note(f"... and {format_count(len(records) - MOST_SHOWN)} more; --json names them")


def _row(entry: RecordSummary) -> tuple[str, ...]:
    demo = EMPTY_CELL if entry.demo is None else "yes" if entry.demo else "no"
    return (
        entry.user_id,
        entry.key_id or EMPTY_CELL,
        format_time(entry.set_at_ms),
        demo,
        entry.fingerprint or EMPTY_CELL,
        entry.problem or EMPTY_CELL,
    )


def _keep(cli: CliContext, work: Callable[[CredentialAdmin], Awaitable[T]]) -> T:
    """What the work returns, given what seals and opens records."""
    with _refusals():
        from worker.credentials.admin import CredentialAdmin  # noqa: PLC0415 - see the top
        from worker.credentials.sources import load_key_ring  # noqa: PLC0415 - see the top

        ring = load_key_ring(WorkerSettings.from_env())
        return _on_records(cli, lambda records: work(CredentialAdmin(records, ring)))


def _on_records(cli: CliContext, work: Callable[[SealedRecords], Awaitable[T]]) -> T:
    """What the work returns, given the records of this run's Redis."""
    settings = WorkerSettings.from_env()
    redis = open_redis(cli.redis_dsn or settings.redis_dsn, Redis, timeout_s=settings.redis_timeout_s)

    async def connected() -> T:
        async with redis:
            return await work(SealedRecords(redis))

    return cli.run_async(connected())


@contextmanager
def _refusals() -> Iterator[None]:
    """Errors of the worker's side as the command line's."""
    try:
        yield
    except CredentialsError as exc:
        raise BadInput(str(exc)) from None
    except ModuleNotFoundError as exc:
        message = f"{exc.name} is not installed here; install copytrade-settings[worker]"
        raise CommandFailed(ExitCode.BAD_INPUT, message) from None
