"""`copytrade user pin`, `unpin` and `pins`: which egress a user's requests leave from."""

from __future__ import annotations

from itertools import islice
from typing import BinaryIO

import click

from producers.cli.context import CliContext, QueueCommand, pass_cli
from producers.cli.errors import CommandFailed
from producers.cli.exit_codes import ExitCode
from producers.cli.input.pins import PinFile, read_pins
from producers.cli.input.row_errors import BadInput
from producers.cli.shared_options import interruptible
from producers.cli.text import format_count
from producers.cli.views import row_error_lines
from producers.client.producer import Producer
from producers.contract.wording import plural
from producers.errors import QueueUnavailable

CHUNK_SIZE = 1000
"""Users that are pinned before the next ones; what was done is known for each."""

MAX_NAMED = 5
"""Egresses without a worker that a warning names."""

PIN_COLUMNS = ("user", "egress")


@click.command(
    cls=QueueCommand,
    short_help="Let a user's requests leave by one egress only.",
    examples=("copytrade user pin 1001 frankfurt", "copytrade user pin --csv pins.csv"),
)
@click.argument("user_id", required=False)
@click.argument("egress", required=False)
@click.option(
    "--csv", "csv_file", metavar="FILE", type=click.File("rb"), help="Pin the users of a CSV file; - is standard input."
)
@pass_cli
def pin(cli: CliContext, user_id: str | None, egress: str | None, csv_file: BinaryIO | None) -> None:
    """Send a user's requests only through workers whose COPYTRADE_EGRESS is EGRESS, from the next request on.

    A CSV file has the columns user_id and egress; an empty egress unpins the user. All lines are checked first: if one
    is invalid, each invalid line is listed and nobody is pinned.
    """
    if (csv_file is None) is (egress is None) or (csv_file is not None and user_id is not None):
        raise BadInput("give either a user and an egress, or --csv FILE")
    if csv_file is not None:
        _pin_all(cli, csv_file)
        return
    wanted = (str(user_id), str(egress))

    async def pin_one(producer: Producer) -> list[str]:
        without_worker = await _without_worker(producer, {wanted[1]})
        await producer.pin_user(*wanted)
        return without_worker

    _warn(cli, cli.with_producer(pin_one))
    cli.print_result({"userId": wanted[0], "egress": wanted[1]}, f"pinned to egress {wanted[1]}")


@click.command(cls=QueueCommand, short_help="Let a user's requests leave by any egress again.")
@click.argument("user_id")
@pass_cli
def unpin(cli: CliContext, user_id: str) -> None:
    """Let workers of any egress send a user's requests."""
    changed = cli.with_producer(lambda producer: producer.pin_users({user_id: None}))
    cli.print_result({"userId": user_id, "egress": None}, "unpinned" if changed else "was not pinned")


@click.command(
    cls=QueueCommand, short_help="List the users that are pinned.", examples=("copytrade user pins --egress frankfurt",)
)
@click.option("--egress", metavar="NAME", help="Only users that are pinned to it.")
@pass_cli
def pins(cli: CliContext, egress: str | None) -> None:
    """List the users that are pinned to an egress, in no order."""

    async def list_all(producer: Producer) -> list[tuple[str, str]]:
        # A user may be listed twice while pins change.
        found = {pin.user_id: pin.egress async for pin in producer.pins() if egress in (None, pin.egress)}
        return list(found.items())

    found = cli.with_producer(list_all)
    if cli.as_json:
        for user_id, name in found:
            cli.screen.json_line({"userId": user_id, "egress": name})
        return
    cli.screen.table(PIN_COLUMNS, found, empty_note="nobody is pinned")


async def _without_worker(producer: Producer, egresses: set[str]) -> list[str]:
    """Return which of these egresses have no live worker, sorted."""
    found = await producer.overview()
    return sorted(
        egresses - {worker.egress for worker in found.workers} - {one.name for one in found.egresses if one.workers}
    )


def _warn(cli: CliContext, without_worker: list[str]) -> None:
    """Say on standard error which egresses have no live worker: a name may be misspelt."""
    if without_worker and cli.as_json:
        cli.screen.json_note({"egressesWithoutWorker": without_worker})
    elif without_worker:
        names = ", ".join(without_worker[:MAX_NAMED]) + (", ..." if len(without_worker) > MAX_NAMED else "")
        cli.screen.note(f"warning: no worker of {names} is alive: the changes of users that are pinned there wait")


def _pin_all(cli: CliContext, csv_file: BinaryIO) -> None:
    name = str(getattr(csv_file, "name", ""))
    try:
        found = read_pins(csv_file)
    except BadInput as exc:
        raise BadInput(f"{name}: {exc}") from exc
    if found.invalid:
        _refuse(cli, found)
    done, total = 0, len(found.pins)

    def state() -> str:
        return f"pinned {format_count(done)} of {plural(total, 'user')}; run it again, which is safe"

    async def pin_chunks(producer: Producer) -> tuple[int, list[str]]:
        nonlocal done
        without_worker = await _without_worker(producer, {egress for egress in found.pins.values() if egress})
        items, changed = iter(found.pins.items()), 0
        while chunk := dict(islice(items, CHUNK_SIZE)):
            changed += await producer.pin_users(chunk)
            done += len(chunk)
        return changed, without_worker

    with interruptible(state):
        try:
            changed, without_worker = cli.with_producer(pin_chunks)
        except QueueUnavailable as exc:
            raise CommandFailed(ExitCode.UNAVAILABLE, f"{exc}; {state()}") from exc
    _warn(cli, without_worker)
    cli.print_result({"users": total, "changed": changed}, f"{plural(total, 'user')} pinned, {changed} of them changed")


def _refuse(cli: CliContext, found: PinFile) -> None:
    total = found.invalid + len(found.pins)
    if cli.as_json:
        left_out = found.invalid - len(found.errors)
        cli.screen.json({"users": total, "changed": 0, "faults": found.errors, "faultsLeftOut": left_out})
    else:
        for line in row_error_lines(found.errors, found.invalid):
            cli.screen.note(line)
    problem = f"{format_count(found.invalid)} of {plural(total, 'line')} cannot be used, and nobody was pinned"
    raise BadInput(f"{problem}; correct them")
