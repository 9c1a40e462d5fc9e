"""`copytrade serve` and `copytrade gateway-keys`: run the gateway, and manage its access keys.

The commands are listed even without the `gateway` extra, so modules that need it are imported inside functions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from producers import SettingsError
from producers.cli.context import CliContext, CommandGroup, QueueCommand, pass_cli
from producers.cli.errors import CommandFailed
from producers.cli.exit_codes import ExitCode
from producers.cli.input.row_errors import BadInput
from producers.cli.text import EMPTY_CELL, format_time
from producers.contract.access_keys import AccessKey, Scope
from producers.gateway.settings import GatewaySettings, is_loopback
from producers.logs import log_to_stderr

COLUMNS = ("key", "name", "scopes", "users", "traders", "calls/s", "made")
NO_EXTRA = "the gateway needs the extra gateway: pip install '.[gateway]'"


@click.command(
    cls=QueueCommand,
    short_help="Serve the queue over HTTP.",
    examples=(
        "copytrade gateway-keys add orders --scope enqueue --scope read",
        "copytrade serve",
        "copytrade serve --no-auth",
        "copytrade serve --host 0.0.0.0 --certfile cert.pem --keyfile key.pem",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="Port to listen on.")
@click.option("--root-path", default="", metavar="PREFIX", help="Path at which a proxy serves the gateway, as /ct.")
@click.option("--no-auth", is_flag=True, help="Serve without access keys; on loopback only.")
@click.option("--certfile", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TLS certificate.")
@click.option("--keyfile", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its key.")
@pass_cli
def serve(cli: CliContext, /, host: str, port: int, root_path: str, no_auth: bool, **tls: Path | None) -> None:
    """Serve the queue over HTTP, with the description of its API at /v1/openapi.json.

    Every call needs an access key (`copytrade gateway-keys add`), unless --no-auth is given, which is possible on
    loopback only.
    """
    try:
        from producers.gateway.app import create_app  # noqa: PLC0415 - see the module docstring
        from producers.gateway.server import run  # noqa: PLC0415
    except ImportError as exc:
        raise CommandFailed(ExitCode.FAILED, NO_EXTRA) from exc

    if root_path and not root_path.startswith("/"):
        raise BadInput(f"--root-path: must begin with /; got {root_path!r}")
    is_local = is_loopback(host)
    if no_auth and not is_local:
        raise BadInput(f"--no-auth: is possible on loopback only; {host} can be reached from other machines")
    values: dict[str, Any] = {"gateway_auth": not no_auth} | ({"redis_dsn": cli.redis_dsn} if cli.redis_dsn else {})
    settings = msgspec.structs.replace(GatewaySettings.from_env(), **values)
    if not is_local:
        _check_exposed(cli, tls["certfile"])
    log_to_stderr(settings.log_level.upper(), settings.log_format.lower())
    url = _url(host, port, root_path, is_tls=tls["certfile"] is not None)
    cli.screen.note(f"serving {url}, its API: {url}/v1/openapi.json")
    run(
        create_app(settings), connections=settings.gateway_connections, host=host, port=port, root_path=root_path, **tls
    )


def _url(host: str, port: int, root_path: str, *, is_tls: bool) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if is_tls else 'http'}://{shown}:{port}{root_path.rstrip('/')}"


def _check_exposed(cli: CliContext, certfile: Path | None) -> None:
    """Check what a gateway needs that other machines can reach.

    Raises:
        SettingsError: there is no access key.
    """
    if not cli.with_producer(lambda producer: producer.access_keys.list()):
        raise SettingsError(
            "other machines can reach this address, and there is no access key: make one first with"
            " copytrade gateway-keys add NAME --scope enqueue"
        )
    if certfile is None:
        cli.screen.note("access keys cross the network in clear: put TLS in front, or give --certfile and --keyfile")


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
