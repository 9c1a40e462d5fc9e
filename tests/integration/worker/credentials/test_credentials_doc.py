"""The examples of worker/credentials/README.md run as written."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import pytest
from aiohttp import web
from redis.asyncio import Redis

from worker.credentials.model import Credentials
from worker.credentials.sources import entered, open_store
from worker.errors import CredentialsError, CredentialsUnavailable, UnknownUser
from worker.secret import Secret
from worker.settings import WorkerSettings

DOC = (Path(__file__).parents[4] / "worker" / "credentials" / "README.md").read_text(encoding="utf-8")
TOKEN = "hush-token"
FIELDS = {"api_key": "hush-key", "secret_key": "hush-secret", "passphrase": "hush-pass", "demo": True}


@pytest.fixture(autouse=True)
def _own_vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program of the page, as the module `own_vault`."""
    (program,) = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    module = ModuleType("own_vault")
    exec(compile(program, "worker/credentials/README.md", "exec"), module.__dict__)  # noqa: S102 - it is our own
    monkeypatch.setitem(sys.modules, "own_vault", module)
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    yield
    sys.modules.pop("own_vault", None)


async def answer(request: web.Request) -> web.Response:
    if request.headers.get("X-Vault-Token") != TOKEN:
        return web.json_response({"errors": ["permission denied"]}, status=403)
    match request.match_info["user"]:
        case "a/b 1001":
            return web.json_response({"data": {"data": FIELDS, "metadata": {"version": 3}}})
        case "odd":
            return web.json_response({"data": {"data": {"api_key": "hush"}}})
        case "sealed":
            return web.json_response({"errors": ["Vault is sealed"]}, status=503)
    return web.json_response({"errors": []}, status=404)


@asynccontextmanager
async def vault_server() -> AsyncIterator[str]:
    """A server with the part of Vault's API that the program uses."""
    app = web.Application()
    app.router.add_get("/v1/secret/data/copytrade/{user}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_the_vault_source_of_the_page_serves_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every failure is `unavailable`, and shows no secret."""
    async with vault_server() as url:
        monkeypatch.setenv("VAULT_ADDR", url)
        store = open_store(WorkerSettings(credentials="python:own_vault:vault"), Redis(port=1))

        async with entered(store):
            assert await store.get("a/b 1001") == Credentials(
                user_id="a/b 1001",
                api_key=Secret("hush-key"),
                secret_key=Secret("hush-secret"),
                passphrase=Secret("hush-pass"),
                demo=True,
            )
            with pytest.raises(UnknownUser, match="no credentials for user '1002' in the vault"):
                await store.get("1002")
            with pytest.raises(CredentialsUnavailable, match="HTTP 503"):
                await store.get("sealed")
            with pytest.raises(CredentialsUnavailable) as caught:
                await store.get("odd")

    assert "hush" not in str(caught.value)


async def test_a_vault_that_is_away_or_refuses_makes_no_user_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown user's changes end unauthorized, so an outage must be another error."""
    async with vault_server() as url:
        monkeypatch.setenv("VAULT_ADDR", url)
        monkeypatch.setenv("VAULT_TOKEN", "another")
        store = open_store(WorkerSettings(credentials="python:own_vault:vault"), Redis(port=1))
        async with entered(store):
            with pytest.raises(CredentialsUnavailable, match="HTTP 403"):
                await store.get("a/b 1001")
    store = open_store(WorkerSettings(credentials="python:own_vault:vault"), Redis(port=1))
    async with entered(store):
        with pytest.raises(CredentialsUnavailable, match=r"failed \(ClientConnectorError\)"):
            await store.get("a/b 1001")


def test_a_vault_without_its_variables_stops_the_start() -> None:
    """The error names the missing variable."""
    with pytest.raises(CredentialsError, match="'VAULT_ADDR' is not set"):
        open_store(WorkerSettings(credentials="python:own_vault:vault"), Redis(port=1))


def test_every_command_of_the_page_exists_with_its_options() -> None:
    """And the page shows every command except `remove`."""
    from worker.credentials.command import credentials  # noqa: PLC0415 - only this test needs the command line

    shown = set(re.findall(r"copytrade credentials ([a-z-]+)", DOC))

    assert shown == set(credentials.commands) - {"remove"}
    for command, option in (("set", "--from-stdin"), ("rotate", "--check")):
        assert option in {name for param in credentials.commands[command].params for name in param.opts}
