"""`copytrade gateway-keys`: make, list and revoke the access keys of the gateway."""

from __future__ import annotations

from typing import Any

import click

from producers.cli.context import CliContext, CommandGroup, pass_cli
from producers.cli.errors import CommandFailed
from producers.cli.exit_codes import ExitCode
from producers.cli.text import EMPTY_CELL, format_time
from producers.contract.access_keys import AccessKey, Scope

COLUMNS = ("key", "name", "scopes", "users", "traders", "calls/s", "made")


@click.group("gateway-keys", cls=CommandGroup, short_help="Make, list and revoke access keys of the gateway.")
def gateway_keys() -> None:
    """Manage the access keys of the gateway. Redis holds a hash of each key only."""


@gateway_keys.command("add")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice([scope.value for scope in Scope]),
    help="What the key permits; may be repeated.",
)  # fmt: skip
@click.option("--user", "user_ids", multiple=True, metavar="ID", help="A user that it is for; may be repeated.")
@click.option("--trader", "trader_ids", multiple=True, metavar="ID", help="A trader that it is for; may be repeated.")
@click.option("--rate", type=click.FloatRange(0.01, 100_000), metavar="N", help="Calls a second that it may make.")
@pass_cli
def add(
    cli: CliContext, name: str, scopes: tuple[str, ...], user_ids: tuple[str, ...], trader_ids: tuple[str, ...],
    rate: float | None,
) -> None:  # fmt: skip
    """Make an access key, and print it. It is shown this once."""
    made = cli.with_producer(
        lambda producer: producer.access_keys.add(
            name, [Scope(scope) for scope in scopes], user_ids=user_ids, trader_ids=trader_ids, rate_per_s=rate
        )
    )
    cli.print_result({"keyId": made.key_id, "key": made.text}, made.text)
    cli.screen.note(f"access key {made.key_id} ({name}): {', '.join(sorted(scopes))}; it is not shown again")


@gateway_keys.command("list")
@pass_cli
def list_(cli: CliContext) -> None:
    """List the access keys, without their secrets."""
    found = cli.with_producer(lambda producer: producer.access_keys.list())
    if cli.as_json:
        for key in found:
            cli.screen.json_line(_document(key))
        return
    rows = (
        (
            key.key_id, key.name, ", ".join(sorted(key.scopes)), ", ".join(sorted(key.user_ids)) or EMPTY_CELL,
            ", ".join(sorted(key.trader_ids)) or EMPTY_CELL,
            EMPTY_CELL if key.rate_per_s is None else f"{key.rate_per_s:g}", format_time(key.created_at_ms),
        )
        for key in found
    )  # fmt: skip
    cli.screen.table(COLUMNS, rows, empty_note="there are no access keys")


@gateway_keys.command("revoke")
@click.argument("key_id")
@pass_cli
def revoke(cli: CliContext, key_id: str) -> None:
    """Revoke an access key. Gateways refuse it after a second at the latest."""
    if not cli.with_producer(lambda producer: producer.access_keys.revoke(key_id)):
        raise CommandFailed(ExitCode.NOT_FOUND, f"no access key {key_id}")
    cli.print_result({"keyId": key_id, "revoked": True}, "revoked")


def _document(key: AccessKey) -> dict[str, Any]:
    return {
        "keyId": key.key_id, "name": key.name, "scopes": sorted(key.scopes), "userIds": sorted(key.user_ids),
        "traderIds": sorted(key.trader_ids), "ratePerS": key.rate_per_s, "createdAtMs": key.created_at_ms,
    }  # fmt: skip
