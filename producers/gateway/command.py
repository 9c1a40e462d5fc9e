"""`copytrade serve`: run the gateway.

The command is listed even without the `gateway` extra, so modules that need it are imported inside functions.
"""

from __future__ import annotations

import errno
import logging
import secrets
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import msgspec

from producers import SettingsError
from producers.cli.context import CliContext, QueueCommand, pass_cli
from producers.cli.errors import CommandFailed
from producers.cli.exit_codes import ExitCode
from producers.cli.input.row_errors import BadInput
from producers.gateway.calls.events import Event
from producers.gateway.settings import GatewaySettings, is_loopback
from producers.logs import log_fields, log_to_stderr

COLUMNS = ("key", "name", "scopes", "users", "traders", "calls/s", "made")
log = logging.getLogger("producers.gateway")
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
@click.option("--read-only", is_flag=True, help="Refuse every call that changes something.")
@click.option("--no-auth", is_flag=True, help="Serve without access keys; on loopback only.")
@click.option("--certfile", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TLS certificate.")
@click.option("--keyfile", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its key.")
@pass_cli
def serve(
    cli: CliContext, /, host: str, port: int, root_path: str, read_only: bool, no_auth: bool, **tls: Path | None
) -> None:  # fmt: skip
    """Serve the queue over HTTP: the console at /, and the API, described at /v1/openapi.json.

    Every call needs an access key (`copytrade gateway-keys add`), unless --no-auth is given, which is possible on
    loopback only. Standard output has one line: the address of the console; on loopback it signs a browser in once.
    """
    try:
        from producers.gateway.app import create_app  # noqa: PLC0415 - see the module docstring
        from producers.gateway.serving.server import listen, run  # noqa: PLC0415
        from producers.monitor.start_check import check_redis  # noqa: PLC0415
    except ImportError as exc:
        raise CommandFailed(ExitCode.FAILED, NO_EXTRA) from exc

    if root_path and not root_path.startswith("/"):
        raise BadInput(f"--root-path: must begin with /; got {root_path!r}")
    is_local = is_loopback(host)
    if no_auth and not is_local:
        raise BadInput(f"--no-auth: is possible on loopback only; {host} can be reached from other machines")
    _check_tls(**tls)
    settings = _settings(cli, no_auth=no_auth, read_only=read_only)
    cli.run_async(check_redis(settings))
    if not is_local:
        _check_exposed(cli)
    log_to_stderr(settings.log_level.upper(), settings.log_format.lower())
    if not is_local and tls["certfile"] is None:
        _note(
            cli, settings, "access keys cross the network in clear: put TLS in front, or give --certfile and --keyfile"
        )
    try:
        listening = listen(host, port)
    except OSError as exc:
        raise CommandFailed(ExitCode.FAILED, f"cannot listen on {host}, port {port}: {_reason(exc)}") from exc
    url = _url(host, listening.getsockname()[1], root_path, is_tls=tls["certfile"] is not None)
    token = secrets.token_urlsafe(32) if is_local and settings.gateway_auth else None
    _note(cli, settings, f"serving the API described at {url}/v1/openapi.json, and the console at:")
    with suppress(OSError):  # as in `_note`
        click.echo(f"{url}/sign-in?token={token}" if token else f"{url}/")
    app = create_app(settings, sign_in_token=token)
    run(app, listening, connections=settings.gateway_connections, root_path=root_path, **tls)


def _reason(exc: OSError) -> str:
    """Return why an address cannot be listened on, and what to do about it."""
    reason = str(exc.strerror).partition(" (while")[0]  # asyncio and socket repeat the address there
    return f"{reason}; choose another --port" if exc.errno == errno.EADDRINUSE else reason


def _check_tls(certfile: Path | None, keyfile: Path | None) -> None:
    """Check the files of TLS.

    Raises:
        BadInput: one of them is missing, or they do not fit together.
    """
    if (certfile is None) is not (keyfile is None):
        raise BadInput("--certfile and --keyfile: give both, or neither")
    if certfile is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile)
        except (OSError, ssl.SSLError) as exc:
            raise BadInput(f"--certfile, --keyfile: cannot be used: {exc}") from exc


def _settings(cli: CliContext, *, no_auth: bool, read_only: bool) -> GatewaySettings:
    values: dict[str, Any] = {"gateway_auth": not no_auth}
    if cli.redis_dsn:
        values["redis_dsn"] = cli.redis_dsn
    if read_only:
        values["gateway_read_only"] = True
    return msgspec.structs.replace(GatewaySettings.from_env(), **values)


def _url(host: str, port: int, root_path: str, *, is_tls: bool) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if is_tls else 'http'}://{shown}:{port}{root_path.rstrip('/')}"


def _note(cli: CliContext, settings: GatewaySettings, text: str) -> None:
    """Tell people on standard error; in the log if that is JSON, of which each line is an object."""
    if settings.log_format.lower() == "json":
        log.info("%s", text, extra=log_fields(Event.SERVING))
    else:
        with suppress(OSError):  # such as of a disk that is full; a gateway that runs loses its log lines then, too
            cli.screen.note(text)


def _check_exposed(cli: CliContext) -> None:
    """Check what a gateway needs that other machines can reach.

    Raises:
        SettingsError: there is no access key.
    """
    if not cli.with_producer(lambda producer: producer.access_keys.list()):
        raise SettingsError(
            "other machines can reach this address, and there is no access key: make one first with"
            " copytrade gateway-keys add NAME --scope enqueue"
        )
