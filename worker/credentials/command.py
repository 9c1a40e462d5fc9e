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

from producers.cli.context import Family, Run, pass_run
from producers.cli.errors import Ended
from producers.cli.exit_codes import Exit
from producers.cli.input.row_errors import BadInput
from producers.cli.text import NOTHING, count, when
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


@click.group(cls=Family, short_help="Set, list, rotate and remove users' API keys in Redis.")
def credentials() -> None:
    """Users' API keys in Redis, sealed with the key ring of COPYTRADE_CREDENTIALS_KEYS; workers read them with
    COPYTRADE_CREDENTIALS=redis:. Secrets are typed, or come from standard input.
    """


@credentials.command("new-key")
@click.option("--id", "key_id", metavar="ID", help="The key's ID; by default the day and four random digits.")
@pass_run
def new_key(run: Run, key_id: str | None) -> None:
    """Print a fresh entry for the key ring. It is a secret, and is kept nowhere else."""
    with _refusals():
        from worker.credentials.key_ring import new_entry  # noqa: PLC0415 - see the top

        entry = new_entry(key_id or f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}")
    if run.as_json:
        made_id, _, key = entry.partition(":")
        run.screen.json({"keyId": made_id, "key": key, "entry": entry})
    else:
        run.screen.say(entry)


@credentials.command("set", short_help="Set the keys of a user, or of many.")
@click.argument("user_id", metavar="[USER]", required=False)
@click.option("--from-stdin", is_flag=True, help="Many users: a JSON object a line, with userId.")
@click.option("--demo", is_flag=True, help="The keys are of demo trading.")
@pass_run
def set_credentials(run: Run, user_id: str | None, from_stdin: bool, demo: bool) -> None:
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

    new = _keep(run, work)
    if run.as_json:
        run.screen.json({"set": len(users), "new": new, "replaced": len(users) - new})
    else:
        run.screen.say(f"{count(len(users))} set: {count(new)} new, {count(len(users) - new)} replaced")


@credentials.command("list", short_help="List users, without their secrets.")
@pass_run
def list_credentials(run: Run) -> Exit:
    """List users: the key that seals theirs, when they were set, a fingerprint that changes with them. The exit status
    is 1 if some cannot be opened.
    """

    async def work(keeper: CredentialAdmin) -> list[RecordSummary]:
        return sorted([entry async for entry in keeper.list_records()], key=lambda entry: entry.user_id)

    found = _keep(run, work)
    if run.as_json:
        for entry in found:
            run.screen.json_line(entry)
    else:
        run.screen.table(LIST_COLUMNS, map(_row, found), nothing="there are no credentials in Redis")
    return Exit.NOT_ALL if any(entry.problem for entry in found) else Exit.DONE


@credentials.command(short_help="Seal anew what is not under the first key.")
@click.option("--check", is_flag=True, help="Only say how many are left under which key.")
@pass_run
def rotate(run: Run, check: bool) -> Exit:
    """Seal anew, under the first key of the ring, what is sealed with another. It can be broken off and repeated, and
    never undoes what is set meanwhile. The exit status is 1 if something is left.
    """
    return _check(run) if check else _rotate(run)


@credentials.command()
@click.argument("user_id", metavar="USER")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_run
def remove(run: Run, user_id: str, yes: bool) -> None:
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

    if not _on_records(run, work):
        raise Ended(Exit.NOT_FOUND, f"user {user_id} has no keys in Redis; see: copytrade credentials list")
    if run.as_json:
        run.screen.json({"userId": user_id, "removed": True})
    else:
        run.screen.say(f"removed the keys of user {user_id}")


def _rotate(run: Run) -> Exit:
    async def work(keeper: CredentialAdmin) -> RotationReport:
        return await keeper.rotate()

    done = _keep(run, work)
    if run.as_json:
        run.screen.json(done)
    else:
        left = f", {count(len(done.unreadable))} unreadable" if done.unreadable else ""
        said = f"{count(done.rotated)} sealed anew under {done.first_key}, {count(done.already)} were already"
        run.screen.say(said + left)
        _note_unreadable(run, done.unreadable)
    return Exit.NOT_ALL if done.unreadable else Exit.DONE


def _check(run: Run) -> Exit:
    async def work(keeper: CredentialAdmin) -> KeyUsage:
        return await keeper.key_usage()

    found = _keep(run, work)
    if run.as_json:
        run.screen.json(found)
    else:
        rows = ((key, count(number), "first" if key == found.first_key else "") for key, number in _sorted(found))
        run.screen.table(("key", "users", "place"), rows, nothing="there are no credentials in Redis")
        _note_unreadable(run, found.unreadable)
    return Exit.NOT_ALL if found.left else Exit.DONE


def _sorted(found: KeyUsage) -> list[tuple[str, int]]:
    return sorted(found.by_key.items())


def _note_unreadable(run: Run, records: list[RecordSummary]) -> None:
    for entry in records[:MOST_SHOWN]:
        run.screen.note(f"user {entry.user_id}: {entry.problem}")
    if len(records) > MOST_SHOWN:
        run.screen.note(f"... and {count(len(records) - MOST_SHOWN)} more; --json names them")


def _row(entry: RecordSummary) -> tuple[str, ...]:
    demo = NOTHING if entry.demo is None else "yes" if entry.demo else "no"
    return (
        entry.user_id,
        entry.key_id or NOTHING,
        when(entry.set_at_ms),
        demo,
        entry.fingerprint or NOTHING,
        entry.problem or NOTHING,
    )


def _keep(run: Run, work: Callable[[CredentialAdmin], Awaitable[T]]) -> T:
    """What the work returns, given what seals and opens records."""
    with _refusals():
        from worker.credentials.admin import CredentialAdmin  # noqa: PLC0415 - see the top
        from worker.credentials.sources import load_key_ring  # noqa: PLC0415 - see the top

        ring = load_key_ring(WorkerSettings.from_env())
        return _on_records(run, lambda records: work(CredentialAdmin(records, ring)))


def _on_records(run: Run, work: Callable[[SealedRecords], Awaitable[T]]) -> T:
    """What the work returns, given the records of this run's Redis."""
    settings = WorkerSettings.from_env()
    redis = open_redis(run.redis_dsn or settings.redis_dsn, Redis, timeout_s=settings.redis_timeout_s)

    async def connected() -> T:
        async with redis:
            return await work(SealedRecords(redis))

    return run.complete(connected())


@contextmanager
def _refusals() -> Iterator[None]:
    """Errors of the worker's side as the command line's."""
    try:
        yield
    except CredentialsError as exc:
        raise BadInput(str(exc)) from None
    except ModuleNotFoundError as exc:
        message = f"{exc.name} is not installed here; install copytrade-settings[worker]"
        raise Ended(Exit.BAD_INPUT, message) from None
