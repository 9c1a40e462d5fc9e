"""What the console serves besides its screens: errors, files, headers, event streams."""

from __future__ import annotations

import httpx
import pytest
from arq.connections import ArqRedis

from producers import Producer
from producers.contract.access_keys import Scope
from producers.gateway.console.assets import FILES, VERSION, asset_path
from tests.support.console import HOST, sign_in
from tests.support.gateway import gateway_on


async def test_an_unknown_address_is_a_page_for_browsers(browser: httpx.AsyncClient) -> None:
    """And a problem for programs, as everything below /v1."""
    page = await browser.get("/<b>nowhere</b>")
    problems = [await browser.get("/nowhere", headers={"Accept": "*/*"}), await browser.get("/v1/nowhere")]

    assert (page.status_code, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "<b>nowhere" not in page.text
    assert [(answer.status_code, answer.json()["title"]) for answer in problems] == [(404, "Not found")] * 2


async def test_the_page_of_an_error_lets_a_browser_go_on_and_sign_out(
    browser: httpx.AsyncClient, valkey: ArqRedis
) -> None:
    """Whether its key was read before the error or not. Who is not signed in has no navigation."""
    stranger = await browser.get("/nowhere")
    await sign_in(browser, valkey, *Scope)
    nowhere, unknown, wrong_method = [
        await browser.get(path) for path in ("/nowhere", "/change?id=none", "/actions/pause")
    ]
    refused = await browser.post(
        "/actions/limit-user", data={"id": "5", "rate": "<b>"}, headers={"Referer": f"http://{HOST}/user?id=5"}
    )
    pages = (nowhere, unknown, wrong_method, refused)

    assert [answer.status_code for answer in pages] == [404, 404, 405, 422]
    assert all("Sign out" in answer.text and 'href="/workers"' in answer.text for answer in pages)
    assert ["<h1>Not found</h1>" in answer.text for answer in pages] == [True, True, False, False]
    assert "There is no page at this address." in nowhere.text
    assert "must be a number of requests a second" in refused.text
    assert '<a href="/user?id=5">Back</a>' in refused.text
    assert "Sign out" not in stranger.text
    assert "<nav" not in stranger.text


async def test_an_unexpected_error_is_a_page(
    browser: httpx.AsyncClient, valkey: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which tells nothing of its cause."""
    await sign_in(browser, valkey, Scope.READ)
    monkeypatch.setattr(Producer, "overview", lambda _: 1 / 0)
    answer = await browser.get("/")

    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "text/html; charset=utf-8")
    assert "the log has it" in answer.text
    assert "division" not in answer.text
    assert "Sign out" in answer.text


@pytest.mark.parametrize("path", ["/schema", "/schema/swagger", "/schema/redoc"])
async def test_no_page_loads_a_script_of_another_host(browser: httpx.AsyncClient, path: str) -> None:
    """The framework has such pages."""
    assert "<script" not in (await browser.get(path)).text


async def test_every_page_forbids_what_it_does_not_load(browser: httpx.AsyncClient) -> None:
    """No inline script or style, no frame, no other host; nothing is kept."""
    page = await browser.get("/sign-in")

    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert "style=" not in page.text
    assert "<script>" not in page.text


@pytest.mark.parametrize("name", FILES)
async def test_a_file_of_a_page_may_be_kept_for_ever(browser: httpx.AsyncClient, name: str) -> None:
    """Its address changes with its content."""
    file = await browser.get(asset_path(name))

    assert file.content == FILES[name]
    assert "immutable" in file.headers["Cache-Control"]


async def test_a_stream_sends_the_content_of_its_page(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """A page of another version is told to load again."""
    await sign_in(browser, valkey, Scope.READ)
    async with browser.stream("GET", "/live", params={"version": VERSION}) as stream:
        first = await anext(stream.aiter_text())
    other = await browser.get("/live", params={"version": "other"})

    assert "data: <h1>Overview</h1>\n" in first
    assert other.text.startswith("event: reload\n")


async def test_a_stream_says_that_redis_is_away_without_its_address() -> None:
    """As the page and the API do; the log has it."""
    async with (
        gateway_on("redis://127.0.0.1:1/0") as client,
        client.stream("GET", "/live", params={"version": VERSION}) as stream,
    ):
        first = await anext(stream.aiter_text())

    assert 'role="alert"' in first
    assert "127.0.0.1" not in first


async def test_without_redis_a_page_says_what_its_reader_can_do() -> None:
    """Which is not to send the header of a program."""
    async with gateway_on("redis://127.0.0.1:1/0") as client:
        page = await client.get("/batches")
        form = await client.post("/actions/pause", data={"kind": "everything"}, headers={"Referer": "http://["})

    assert [answer.status_code for answer in (page, form)] == [503, 503]
    assert "Try again later." in page.text
    assert "Send the form again: what was done is not done twice." in form.text
    assert 'href="/">Back</a>' in form.text
    assert "Idempotency-Key" not in page.text + form.text
