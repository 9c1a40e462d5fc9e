"""The programs of `ops/examples` run as they stand, with a real gateway, a real worker and the exchange double."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import shutil
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from celery import Celery
from celery.result import AsyncResult

from ops.redis_server import free_port
from producers import InvalidChange
from tests.support.celery_worker import FOLDER, configuration
from tests.support.changes import change
from tests.support.examples import EXAMPLES, USERS, Surroundings, answered, surroundings
from tests.support.gateway import body
from tests.support.node import NODE, needs_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_S = 60.0

needs_curl = pytest.mark.skipif(
    not shutil.which("curl") and os.environ.get("CI") != "true",
    reason="curl is not installed; with CI=true the test would fail instead",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def around(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Surroundings]:
    """Everything that the examples need, and the two that are servers, once for all."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COPYTRADE_")]:
            patch.delenv(name)
        async with surroundings(tmp_path_factory.mktemp("examples")) as found:
            yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def django(around: Surroundings) -> AsyncIterator[httpx.AsyncClient]:
    """The Django example, which starts while the others run."""
    address = f"127.0.0.1:{free_port()}"
    command = (sys.executable, "-m", "ops.examples.django_views", "runserver", "--noreload", address)
    client = httpx.AsyncClient(base_url=f"http://{address}", timeout=WITHIN_S)
    async with around.running(*command), client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def celery(around: Surroundings) -> AsyncIterator[Process]:
    """The Celery example, with two processes."""
    command = ("-A", "tests.support.celery_worker", "worker", "--concurrency", "2", "--without-mingle")
    async with around.running(sys.executable, "-m", "celery", *command, **{FOLDER: str(around.folder)}) as process:
        yield process


async def test_the_celery_task_that_runs_again_enqueues_one_change(around: Surroundings, celery: Process) -> None:
    """Redis's reply to the first run is lost, so Celery runs it again. A broken rule fails the task at once."""
    user, client = "1002", Celery("client", set_as_current=False)
    client.conf.update(configuration(around.folder))
    change_settings = client.signature("ops.examples.celery_app.change_settings")
    fetch_result = client.signature("ops.examples.celery_app.fetch_result")
    await (await around.producer.enqueue(change(user))).result()  # now Redis has the script, so one request is enough
    before = await around.arrivals(user)
    around.redis_relay.deaf_from = b"celery.lost"
    lost = (change_settings.clone([wire(user)], task_id="lost") | fetch_result).apply_async()
    invalid = change_settings.clone([wire(user, settings=[])]).apply_async()

    async with asyncio.timeout(WITHIN_S):
        await around.redis_relay.swallowed.wait()
        await around.producer.job("celery.lost").result(timeout=WITHIN_S)
        around.redis_relay.deaf_from, around.redis_relay.deaf = None, False
        assert (await value_of(lost))["outcome"] == "applied"
        with pytest.raises(InvalidChange, match="settings: must"):
            await value_of(invalid)

    assert await around.arrivals(user) == before + 1
    celery.terminate()  # it takes some seconds, in which the other tests run


@needs_curl
async def test_the_shell_script_sends_a_change_and_a_file_and_shows_why_a_change_waits(
    around: Surroundings, tmp_path: Path
) -> None:
    """A second run with the same name adds nothing, and the user is resumed at the end."""
    followers, results = tmp_path / "followers.csv", tmp_path / "results.csv"
    followers.write_text("\n".join(["user_id", *USERS]) + "\n", encoding="utf-8")
    command = ("sh", str(EXAMPLES / "curl.sh"), str(followers), str(results), "july")
    before = await around.arrivals(USERS[0])

    first, second = [await output_of(around, *command) for _ in range(2)]

    with results.open(encoding="utf-8", newline="") as rows:
        assert {row["userId"]: row["outcome"] for row in csv.DictReader(rows)} == dict.fromkeys(USERS, "applied")
    one, accepted, *progress, waiting = documents(first)
    assert one["result"]["outcome"] == "applied"
    assert (accepted["accepted"], progress[-1]["complete"]) == (len(USERS), True)
    assert (waiting["state"], waiting["wait"]["reason"]) == ("queued", "user_paused")
    assert [document.get("accepted", 0) for document in documents(second)] == [0] * len(documents(second))
    assert await around.producer.paused() == []
    assert await around.arrivals(USERS[0]) == before + 3  # the change, that of the file, and the one that waited


@needs_node
async def test_the_node_program_prints_each_result_once_although_its_stream_is_cut(around: Surroundings) -> None:
    """It is cut while one user is paused, so before the batch is complete."""
    await around.producer.pause(user_id=USERS[-1])
    printed: list[Any] = []
    async with (
        asyncio.timeout(WITHIN_S),
        around.running(str(NODE), str(EXAMPLES / "gateway.mjs"), "august", *USERS) as process,
    ):
        assert process.stdout is not None
        async for line in process.stdout:
            printed.append(json.loads(line))
            if len(printed) == len(USERS) - 1:
                await around.gateway_relay.close()
                await around.producer.resume(user_id=USERS[-1])
        _, errors = await process.communicate()

    assert process.returncode == 0, errors.decode()
    assert "trying again" in errors.decode()
    assert sorted(result["userId"] for result in printed) == [*USERS]
    assert {result["outcome"] for result in printed} == {"applied"}


async def test_the_django_views_serve_many_threads(around: Surroundings, django: httpx.AsyncClient) -> None:
    """Changes of twenty clients at once, a fan-out whose results are streamed, and errors as answers."""
    async with asyncio.timeout(WITHIN_S):
        assert (await answered(django, "/changes/web.none")).status_code == 404
        calls = (django.post("/changes", content=wire(user), headers={"Idempotency-Key": user}) for user in USERS)
        locations = [answer.headers["Location"] for answer in await asyncio.gather(*calls)]
        batch = {"batchId": "july", "traderId": "t1", "settings": body()["settings"], "userIds": USERS}
        results = (await django.post("/batches", json=batch)).headers["Location"]
        lines = (await django.get(results)).text.splitlines()
        rest = (await django.get(results, params={"after": json.loads(lines[-3])["cursor"]})).text.splitlines()
        states = [(await django.get(location)).json() for location in locations]
        taken = {"Idempotency-Key": USERS[0]}
        conflict = await django.post("/changes", content=wire(traderId="t2"), headers=taken)
        invalid = await django.post("/batches", json=batch | {"userIds": ["1001", ""]})
        around.redis_relay.deaf = True
        absent = await django.post("/changes", content=wire())
        around.redis_relay.deaf = False

    *found, end = map(json.loads, lines)
    assert sorted(line["result"]["userId"] for line in found) == [*USERS]
    assert (end["complete"], rest) == (True, lines[-2:])
    assert {state["state"] for state in states} == {"done"}
    assert (conflict.status_code, invalid.status_code) == (409, 422)
    assert (absent.status_code, absent.headers["Retry-After"]) == (503, "1")


async def output_of(around: Surroundings, *command: str) -> str:
    """Return what a program prints; it must succeed."""
    async with asyncio.timeout(WITHIN_S), around.running(*command) as process:
        output, errors = await process.communicate()
    assert process.returncode == 0, output.decode() + errors.decode()
    return output.decode()


async def value_of(result: AsyncResult) -> Any:
    """Return the value of a Celery task; the thread leaves the event loop free for the relay."""
    return await asyncio.to_thread(result.get, timeout=WITHIN_S, interval=0.02)


def documents(output: str) -> list[Any]:
    """Return the lines of an output that are JSON."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def wire(user: str = "1001", **changed: Any) -> str:
    """Return a change as JSON."""
    return json.dumps(body(change(user), **changed))
