"""Redis behind TLS with a private authority, which must be the right one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from arq.connections import ArqRedis

from producers import Producer, ProducerSettings, QueueUnavailable, SettingsError
from producers.sync import Producer as PlainProducer
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.relays import relay
from tests.support.tls import Authority
from tests.support.workers import ARQ_CLOSES_OLD_STYLE, rig_on
from worker.process.lane_worker import LaneWorker

pytestmark = ARQ_CLOSES_OLD_STYLE


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority that the organisation trusts."""
    return Authority.new(tmp_path)


@pytest.fixture
async def port(valkey_dsn: str, authority: Authority) -> AsyncIterator[int]:
    """The port where Redis speaks TLS, with a certificate for `localhost`."""
    async with relay(urlsplit(valkey_dsn).port or 0, authority.context("localhost")) as between:
        yield between.port


@pytest.fixture
def dsn(port: int, authority: Authority) -> str:
    """The DSN of it."""
    return f"rediss://localhost:{port}/0?ssl_ca_certs={authority.path}"


async def test_producers_and_workers_use_tls(valkey: ArqRedis, dsn: str, tmp_path: Path) -> None:
    """An asynchronous producer, a synchronous one and a worker apply changes over TLS."""
    async with rig_on(valkey, tmp_path) as rig, Producer.connect(dsn) as producer:
        worker = LaneWorker(rig.settings(redis_dsn=dsn), handle_signals=False)
        running = asyncio.create_task(worker.async_run())
        try:
            async with asyncio.timeout(20):
                result = await (await producer.enqueue(change("1001"))).result()
                plain = await asyncio.to_thread(_apply_plainly, dsn)
        finally:
            await worker.close()
            await asyncio.gather(running, return_exceptions=True)

    assert result.applied
    assert plain == "applied"


def _apply_plainly(dsn: str) -> str:
    with PlainProducer.connect(dsn) as producer:
        return producer.enqueue(change("1002")).result(timeout=20).outcome.value


@pytest.mark.parametrize("shut_down", [True, False])
async def test_connections_over_tls_end_with_their_event_loop(dsn: str, shut_down: bool) -> None:
    """Without a warning, also if the loop is closed without being shut down."""

    def loops() -> None:
        producer = Producer.connect(dsn)
        for user in ("1", "2"):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(producer.enqueue(change(user)))
            if shut_down:
                loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        asyncio.run(producer.close())

    await asyncio.to_thread(loops)
    gc.collect()


async def _refusal(dsn: str, *, timeout_s: float = 5) -> list[str]:
    """Return the error that both kinds of producers raise."""
    settings = ProducerSettings(redis_timeout_s=timeout_s)
    async with Producer.connect(dsn, settings) as producer:
        with pytest.raises(QueueUnavailable) as awaited:
            await producer.paused()

    def plainly() -> str:
        with PlainProducer.connect(dsn, settings) as plain, pytest.raises(QueueUnavailable) as caught:
            plain.paused()
        return str(caught.value)

    return [str(awaited.value), await asyncio.to_thread(plainly)]


async def test_a_certificate_of_another_authority_is_refused(port: int, tmp_path: Path) -> None:
    """Also without a configured authority, because the system's own do not know this one."""
    stranger = Authority.new(tmp_path, "stranger")
    for query in (f"?ssl_ca_certs={stranger.path}", ""):
        for message in await _refusal(f"rediss://localhost:{port}/0{query}"):
            assert "CERTIFICATE_VERIFY_FAILED" in message


async def test_a_certificate_for_another_host_is_refused(dsn: str) -> None:
    """redis-py 5 does not check the name by default."""
    for message in await _refusal(dsn.replace("localhost", "127.0.0.1")):
        assert "CERTIFICATE_VERIFY_FAILED" in message
        assert "127.0.0.1" in message


async def test_the_name_need_not_be_checked_if_an_operator_says_so(dsn: str) -> None:
    """Behind a tunnel the host name may differ; the authority is still verified."""
    dsn = dsn.replace("localhost", "127.0.0.1") + "&ssl_check_hostname=false"
    async with Producer.connect(dsn) as producer:
        assert await producer.paused() == []


async def test_a_server_may_ask_for_a_client_certificate(valkey_dsn: str, authority: Authority) -> None:
    """Without one the connection is refused; the DSN names the certificate and the key."""
    server = authority.context("localhost", clients=True)
    certificate, key = authority.issue("client")
    async with relay(urlsplit(valkey_dsn).port or 0, server) as between:
        dsn = f"rediss://localhost:{between.port}/0?ssl_ca_certs={authority.path}"
        await _refusal(dsn)
        async with Producer.connect(f"{dsn}&ssl_certfile={certificate}&ssl_keyfile={key}") as producer:
            assert await producer.paused() == []


async def test_an_absent_certificate_file_stops_the_start(tmp_path: Path) -> None:
    """A settings error that names the file, before any connection."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_REDIS_DSN: TLS cannot be set up .*nothing\.pem"):
        open_redis(f"rediss://localhost/0?ssl_ca_certs={tmp_path}/nothing.pem", ArqRedis, timeout_s=1)


async def test_a_server_without_tls_is_reported_within_the_time_out(valkey_dsn: str) -> None:
    """A plain Redis does not answer the handshake, so only the timeout ends it."""
    for message in await _refusal(f"rediss://localhost:{urlsplit(valkey_dsn).port}/0", timeout_s=0.5):
        assert "Redis did not answer" in message
