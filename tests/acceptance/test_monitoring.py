"""Metrics and health of real worker processes, as a scraper and a probe see them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ops.children import child_group
from ops.redis_server import Valkey
from ops.stack import Stack, User, write_credentials
from producers import Priority, Producer
from tests.acceptance.conftest import USERS, WITHIN_S
from tests.support.changes import change
from tests.support.pages import table
from worker.logs import Event

WITHOUT_EXTRA = """
import sys
sys.modules["prometheus_client"] = None
from worker.process.main import main
sys.exit(main(sys.argv[1:]))
"""

ENDED = "copytrade_change_attempts_count,applied"
Scraped = tuple[set[str], dict[str, float]]


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    """Two ports in a row that are free."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
        yield port, port + 1
        return


async def get(port: int, path: str) -> tuple[int, str]:
    """Return the status and the body of a reply; status 0 if nobody listens."""
    try:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}{path}") as response:
            return response.status, await response.text()
    except aiohttp.ClientConnectionError:
        return 0, ""


async def until(port: int, status: int) -> str:
    """Wait until the readiness of a worker has a status; return its body."""
    while (found := await get(port, "/readyz"))[0] != status:  # noqa: ASYNC110 - polls another process
        await asyncio.sleep(0.05)
    return found[1]


async def scrape(port: int) -> Scraped:
    """Return the names of the metrics of a worker, and their samples by name and label values."""
    _, text = await get(port, "/metrics")
    families = list(text_string_to_metric_families(text))
    samples = {
        ",".join([sample.name, *sample.labels.values()]): sample.value
        for family in families
        for sample in family.samples
    }
    return {family.name for family in families}, samples


def total(scraped: list[Scraped], sample: str) -> float:
    return sum(samples.get(sample, 0) for _, samples in scraped)


async def test_workers_serve_their_metrics_and_say_when_redis_is_away(
    tmp_path: Path, log_path: Path, ports: tuple[int, int]
) -> None:
    """Each process on a port of its own. While Redis is away they are alive, but not ready; then they go on."""
    credentials = write_credentials(tmp_path / "credentials.toml", [User(user) for user in USERS])
    with Valkey(tmp_path / "redis") as server:
        async with (
            asyncio.timeout(WITHIN_S),
            Stack(server.dsn, credentials, credentials, log_path=log_path) as stack,
            Producer.connect(server.dsn) as producer,
        ):
            await stack.start_workers(1, "--processes", "2", COPYTRADE_METRICS_PORT=str(ports[0]))
            for port in ports:
                await until(port, 200)
            half = len(USERS) // 2
            jobs = (await producer.enqueue_many(map(change, USERS[:half]))).jobs
            jobs += (await producer.enqueue_many(map(change, USERS[half:]), priority=Priority.BULK)).jobs
            await asyncio.gather(*(job.result() for job in jobs))
            scraped = [await scrape(port) for port in ports]
            while total(scraped, ENDED) < len(USERS):  # a result can be read before its worker has counted it
                scraped = [await scrape(port) for port in ports]

            server.kill()
            reasons = [await until(port, 503) for port in ports]
            alive = [(await get(port, "/livez"))[0] for port in ports]
            server.start()
            for port in ports:
                await until(port, 200)
            errors = [(await scrape(port))[1]["copytrade_redis_errors_total,away"] for port in ports]

    named = {row[0].removesuffix("_total") for row in table("ops/METRICS.md", "| the worker's metric |")}
    assert all(named <= names for names, _ in scraped), "the page names a metric that is not served"
    assert total(scraped, "copytrade_requests_total,default,success") == len(USERS)
    assert total(scraped, "copytrade_replies_total,00000") == len(USERS)
    assert total(scraped, "copytrade_claim_delay_seconds_count,bulk") == half
    assert total(scraped, "copytrade_change_duration_seconds_count,applied,interactive") == half
    assert all('"redis"' in reason for reason in reasons)
    assert (alive, all(errors)) == ([200, 200], True)


def written(log_path: Path) -> str:
    return log_path.read_text(encoding="utf-8")


async def test_a_worker_shows_that_its_credentials_file_cannot_be_used_and_that_it_can_again(
    tmp_path: Path, log_path: Path, ports: tuple[int, int]
) -> None:
    """Although nothing is due: whoever starts a worker then should know."""
    path = tmp_path / "credentials.toml"
    credentials = write_credentials(path, [User(user) for user in USERS])
    with Valkey(tmp_path / "redis") as server:
        async with (
            asyncio.timeout(WITHIN_S),
            Stack(server.dsn, credentials, credentials, log_path=log_path) as stack,
        ):
            await stack.start_workers(1, COPYTRADE_METRICS_PORT=str(ports[0]))
            await until(ports[0], 200)
            for mode, is_ok in ((0o600, 1), (0o644, 0), (0o600, 1)):
                path.chmod(mode)
                while (await scrape(ports[0]))[1]["copytrade_credentials_source_ok"] != is_ok:  # noqa: ASYNC110 - polls
                    await asyncio.sleep(0.05)


async def test_a_port_that_is_taken_stops_no_worker(stack: Stack, log_path: Path, ports: tuple[int, int]) -> None:
    """It is logged once; the worker sends all the same."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports[0]))
        other.listen()
        async with asyncio.timeout(WITHIN_S), Producer.connect(stack.redis_dsn) as producer:
            await stack.start_workers(1, COPYTRADE_METRICS_PORT=str(ports[0]), COPYTRADE_LOG_FORMAT="json")
            result = await (await producer.enqueue(change())).result()

    assert result.applied
    assert written(log_path).count(f'"event":"{Event.METRICS_NOT_SERVED}"') == 1


async def test_a_worker_that_cannot_serve_its_metrics_names_the_extra() -> None:
    """At its start, and only if a port is set."""
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WITHOUT_EXTRA, "--processes", "2"),
        env={**os.environ, "COPYTRADE_METRICS_PORT": "9100"},
        stderr=PIPE,
        process_group=child_group(),
    )
    async with asyncio.timeout(WITHIN_S):
        _, errors = await worker.communicate()

    assert worker.returncode == 2
    assert errors.decode().startswith("worker: COPYTRADE_METRICS_PORT: serving metrics needs the extra [metrics]: pip")
