"""`copytrade serve` and `copytrade gateway-keys`."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.copytrade import Copytrade
from tests.support.gateway import bearer
from tests.support.tls import Authority

ROOT = Path(__file__).parents[2]
READY_S = 20.0


def test_a_key_is_printed_alone_and_once(copytrade: Copytrade) -> None:
    """The list has no secret; a revoked key is gone."""
    text = copytrade("gateway-keys", "add", "orders", "--scope", "enqueue", "--scope", "read", "--rate", "5").stdout
    (listed,) = copytrade.json_lines("gateway-keys", "list")
    key_id = listed["keyId"]
    copytrade("gateway-keys", "revoke", key_id)

    assert text.startswith(f"ct_{key_id}_")
    assert text.count("\n") == 1
    assert (listed["name"], listed["scopes"], listed["ratePerS"]) == ("orders", ["enqueue", "read"], 5.0)
    assert copytrade("gateway-keys", "list").stdout.splitlines()[1:] == []
    assert f"no access key {key_id}" in copytrade.error("gateway-keys", "revoke", key_id, status=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0", "--no-auth"), "--no-auth: is possible on loopback only"),  # noqa: S104
        (("--host", "0.0.0.0"), "there is no access key"),  # noqa: S104
        (("--root-path", "ct"), "--root-path: must begin with /"),
        (("--certfile", __file__), "--certfile and --keyfile: give both"),
        (("--certfile", __file__, "--keyfile", __file__), "--certfile, --keyfile: cannot be used"),
    ],
)
def test_a_gateway_that_would_be_open_to_others_or_cannot_serve_does_not_start(
    copytrade: Copytrade, arguments: tuple[str, ...], message: str
) -> None:
    """One line says why."""
    assert message in copytrade.error("serve", *arguments, status=2)


def test_a_gateway_on_a_redis_that_will_never_serve_it_does_not_start(valkey_dsn: str) -> None:
    """One line says why, as a worker's does."""
    said = Copytrade(valkey_dsn.replace("redis://", "redis+cluster://")).error("serve", status=2)

    assert said.startswith("--redis: this Redis is not in cluster mode (")


def test_a_gateway_on_a_port_in_use_says_so_and_prints_no_address(copytrade: Copytrade) -> None:
    """The address would be another program's."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        message = copytrade.error("serve", "--port", str(other.getsockname()[1]), status=1)

    assert message.startswith("cannot listen on 127.0.0.1, port ")
    assert message.endswith("Address already in use; choose another --port")


async def test_a_served_gateway_takes_a_change(copytrade: Copytrade, unused_tcp_port: int) -> None:
    """With a key that was made on the command line."""
    async with (
        serving(copytrade, "--port", str(unused_tcp_port)) as (process, key),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}") as client,
    ):
        refused = await answered(client, "/v1/batches")
        accepted = await client.post("/v1/changes:bulk", json=[], headers=bearer(key))

    assert (refused.status_code, accepted.status_code) == (401, 202)
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a device of Linux")
async def test_a_gateway_starts_although_nothing_that_it_says_can_be_written(
    copytrade: Copytrade, unused_tcp_port: int
) -> None:
    """As on a disk that is full: it would log into it."""
    async with (
        serving(copytrade, "--port", str(unused_tcp_port), output="/dev/full"),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}") as client,
    ):
        alive = await answered(client, "/livez")

    assert alive.status_code == 200


async def test_a_gateway_with_a_certificate_serves_other_machines_by_tls_alone(
    copytrade: Copytrade, unused_tcp_port: int, tmp_path: Path
) -> None:
    """A client that trusts the authority is served; a call without TLS is not."""
    authority = Authority.new(tmp_path)
    certfile, keyfile = authority.issue("127.0.0.1")
    trust = ssl.create_default_context(cafile=str(authority.path))
    options = ("--host", "0.0.0.0", "--certfile", str(certfile), "--keyfile", str(keyfile))  # noqa: S104
    async with serving(copytrade, "--port", str(unused_tcp_port), *options) as (_, key):
        async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{unused_tcp_port}", verify=trust) as client:
            await answered(client, "/livez")
            accepted = await client.post("/v1/changes:bulk", json=[], headers=bearer(key))
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"http://127.0.0.1:{unused_tcp_port}/livez")

    assert accepted.status_code == 202


@asynccontextmanager
async def serving(
    copytrade: Copytrade, *options: str, output: str = os.devnull
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run `copytrade serve` meanwhile; yield its process, and an access key that may enqueue."""
    key = (await asyncio.to_thread(copytrade, "gateway-keys", "add", "me", "--scope", "enqueue")).stdout.strip()
    command = [sys.executable, "-m", "producers.cli", "--redis", copytrade.dsn, "serve", *options]
    with open(output, "wb") as file:  # noqa: ASYNC230, PTH123 - a device
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=file, stderr=file)
    try:
        yield process, key
    finally:
        process.terminate()
        await process.wait()


async def answered(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """Return the first answer to a call of a gateway that starts."""
    async with asyncio.timeout(READY_S):
        while True:
            try:
                return await client.get(path)
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
