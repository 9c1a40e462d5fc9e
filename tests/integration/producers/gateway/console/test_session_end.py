"""What ends with the session of a browser: its pages, exports and forms."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers import Batch, Producer
from producers.contract.access_keys import Scope, key_id_of
from producers.queue.access_keys import revoke_key
from producers.queue.results import ResultPage
from producers.transport.runner import execute
from tests.support.changes import change
from tests.support.console import HOST, SESSION, sign_in


async def test_a_form_that_was_sent_after_the_session_leads_back_to_its_page(browser: httpx.AsyncClient) -> None:
    """When the browser has signed in again; what it sent is not done."""
    browser.cookies.set(SESSION, "ended")
    sent = await browser.post(
        "/actions/pause", data={"kind": "everything"}, headers={"Referer": f"http://{HOST}/user?id=5"}
    )
    form = await browser.get(sent.headers["Location"])

    assert sent.headers["Location"] == "/sign-in?next=%2Fuser%3Fid%3D5"
    assert "the session has ended" in form.text


async def test_a_page_that_loses_its_session_is_told_to_load_again(browser: httpx.AsyncClient) -> None:
    """Its event stream is no error: a browser's console would show that."""
    stream = await browser.get("/live", headers={"Accept": "text/html, text/event-stream"})

    assert (stream.status_code, stream.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert stream.text.startswith("event: reload\n")


async def test_a_session_ends_by_signing_out(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """A copy of the cookie is refused as well."""
    await sign_in(browser, valkey, Scope.READ)
    copy = {SESSION: browser.cookies[SESSION]}
    answer = await browser.post("/sign-out")
    browser.cookies = httpx.Cookies(copy)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert (await browser.get("/")).headers["Location"] == "/sign-in"


async def test_an_export_breaks_off_with_its_session(
    browser: httpx.AsyncClient, valkey: ArqRedis, served_producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not look like a whole one."""
    await served_producer.fan_out([change("1")], batch_id="july")
    await sign_in(browser, valkey, Scope.READ)
    read = Batch.page

    async def read_and_sign_out(batch: Batch, *options: Any) -> ResultPage:
        found = await read(batch, *options)
        await valkey.delete(*await valkey.keys(f"{KEYS.gateway_session}*"))
        return found

    monkeypatch.setattr(Batch, "page", read_and_sign_out)
    with pytest.raises(httpx.RemoteProtocolError):
        await browser.get("/batch/export", params={"id": "july"})


async def test_a_session_ends_with_its_access_key(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """When the key is revoked."""
    key = await sign_in(browser, valkey, Scope.READ)
    await execute(valkey, revoke_key(KEYS, str(key_id_of(key))))

    assert (await browser.get("/")).headers["Location"] == "/sign-in"
