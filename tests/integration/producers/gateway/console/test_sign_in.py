"""Signing in to the console, and what a browser may do then."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers.contract.access_keys import Scope, key_id_of
from producers.gateway import GatewaySettings, create_app
from producers.gateway.calls import service
from producers.gateway.console.assets import FILES, VERSION, asset_path
from producers.gateway.console.sessions import COOKIE
from producers.queue.access_keys import revoke_key
from producers.transport.runner import execute
from tests.support.gateway import access_key, gateway_on, served

LINK_TOKEN = "once-" + "a" * 38
OTHER_ORIGINS = [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"}]


@pytest.fixture
async def browser(valkey_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """A client, which keeps cookies, of a gateway that reads keys and sessions for each call."""
    monkeypatch.setattr(service, "KEY_CACHE_S", 0.0)
    app = create_app(GatewaySettings(redis_dsn=valkey_dsn), sign_in_token=LINK_TOKEN)
    async with served(app) as client:
        client.headers["Accept"] = "text/html"
        yield client


async def sign_in(browser: httpx.AsyncClient, valkey: ArqRedis, *scopes: Scope) -> str:
    """Sign in with a new access key, and return it."""
    key = await access_key(valkey, *scopes)
    answer = await browser.post("/sign-in", data={"key": key})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    return key


@pytest.mark.parametrize("path", ["/", "/workers"])
async def test_a_page_asks_who_is_not_signed_in_to_sign_in(browser: httpx.AsyncClient, path: str) -> None:
    """A stream of its content is refused instead: a script would take the form for content."""
    page = await browser.get(path)
    stream = await browser.get(f"{path.rstrip('/')}/live", headers={"Accept": "text/event-stream"})

    assert (page.status_code, page.headers["Location"]) == (303, "/sign-in")
    assert stream.status_code == 401
    assert 'name="key"' in (await browser.get("/sign-in")).text


async def test_an_access_key_signs_in(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """The cookie is for this site alone, and for no script; Redis holds a hash of it."""
    key = await access_key(valkey, Scope.READ)
    answer = await browser.post("/sign-in", data={"key": f" {key}\n"})
    cookie = answer.headers["Set-Cookie"]
    page = await browser.get("/")
    stored = b"".join(await valkey.keys("*"))

    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert "<h1>Overview</h1>" in page.text
    assert browser.cookies[COOKIE].encode() not in stored
    assert key not in page.text


@pytest.mark.parametrize("text", ["", "ct_nobody99_" + "a" * 43, "<b>key</b>", "\x00", "ü" * 500])
async def test_a_wrong_key_does_not_sign_in(browser: httpx.AsyncClient, text: str) -> None:
    """The form says why."""
    answer = await browser.post("/sign-in", data={"key": text})

    assert answer.status_code == 401
    assert 'role="alert"' in answer.text
    assert "Set-Cookie" not in answer.headers
    assert "<b>key" not in answer.text


async def test_the_link_of_the_start_signs_in_once(browser: httpx.AsyncClient) -> None:
    """With all scopes; a guess does not."""
    guess = await browser.get("/sign-in", params={"token": "a" * 43})
    first = await browser.get("/sign-in", params={"token": LINK_TOKEN})
    page = await browser.get("/workers")
    second = await browser.get("/sign-in", params={"token": LINK_TOKEN})

    assert (guess.status_code, first.status_code, second.status_code) == (401, 303, 401)
    assert "/actions/pause" in page.text


async def test_a_session_ends_by_signing_out(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """A copy of the cookie is refused as well."""
    await sign_in(browser, valkey, Scope.READ)
    copy = {COOKIE: browser.cookies[COOKIE]}
    answer = await browser.post("/sign-out")
    browser.cookies = httpx.Cookies(copy)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert (await browser.get("/")).headers["Location"] == "/sign-in"


async def test_a_session_ends_with_its_access_key(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """When the key is revoked."""
    key = await sign_in(browser, valkey, Scope.READ)
    await execute(valkey, revoke_key(KEYS, str(key_id_of(key))))

    assert (await browser.get("/")).headers["Location"] == "/sign-in"


@pytest.mark.parametrize("cookie", ["x" * 43, "x" * 5000, "", "ct_nobody99_" + "a" * 43])
async def test_a_cookie_from_elsewhere_signs_nobody_in(browser: httpx.AsyncClient, cookie: str) -> None:
    """It is asked for again."""
    browser.cookies = httpx.Cookies({COOKIE: cookie})

    assert (await browser.get("/")).headers["Location"] == "/sign-in"


async def test_the_api_does_not_take_the_cookie(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """Another site's script could send it."""
    await sign_in(browser, valkey, Scope.READ)

    assert (await browser.get("/v1/overview")).status_code == 401


@pytest.mark.parametrize("headers", OTHER_ORIGINS)
@pytest.mark.parametrize("path", ["/actions/pause", "/sign-in", "/sign-out"])
async def test_a_form_from_another_origin_is_refused(
    browser: httpx.AsyncClient, valkey: ArqRedis, path: str, headers: dict[str, str]
) -> None:
    """It changes nothing."""
    await sign_in(browser, valkey, Scope.READ, Scope.OPERATE)
    answer = await browser.post(path, data={"kind": "everything"}, headers=headers)

    assert answer.status_code == 403
    assert "another site" in answer.text
    assert "Nothing is paused" in (await browser.get("/workers")).text


async def test_without_the_scope_there_is_no_button(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """A form that is sent nevertheless is refused."""
    await sign_in(browser, valkey, Scope.READ)
    page = await browser.get("/workers")
    forced = await browser.post("/actions/pause", data={"kind": "everything"})

    assert "/actions/" not in page.text
    assert forced.status_code == 403
    assert "has not the scope operate" in forced.text


async def test_a_read_only_gateway_changes_nothing(valkey_dsn: str) -> None:
    """Whoever asks, in the console and in the API."""
    async with gateway_on(valkey_dsn, gateway_read_only=True) as client:
        page = await client.get("/workers")
        forced = await client.post("/actions/pause", data={"kind": "everything"})
        call = await client.post("/v1/pauses/pause", json={"everything": True})

    assert "/actions/" not in page.text
    assert (forced.status_code, call.status_code) == (403, 403)
    assert "read-only" in forced.text


async def test_a_pause_is_shown_and_ended(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """A form that is sent twice says that it had been done."""
    await sign_in(browser, valkey, Scope.READ, Scope.OPERATE)
    form = {"kind": "trader", "name": "<i>t&1</i>"}
    notices = [(await browser.post("/actions/pause", data=form)).headers["Location"] for _ in range(2)]
    page = await browser.get(notices[0])
    resumed = (await browser.post("/actions/resume", data=form)).headers["Location"]

    assert notices == ["/workers?notice=paused", "/workers?notice=paused-before"]
    assert "trader &lt;i&gt;t&amp;1&lt;/i&gt;" in page.text
    assert "Paused." in page.text
    assert "Nothing is paused" in (await browser.get(resumed)).text


async def test_an_unknown_address_is_a_page_for_browsers(browser: httpx.AsyncClient) -> None:
    """And a problem for programs, as everything below /v1."""
    page = await browser.get("/<b>nowhere</b>")
    problems = [await browser.get("/nowhere", headers={"Accept": "*/*"}), await browser.get("/v1/nowhere")]

    assert (page.status_code, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "<b>nowhere" not in page.text
    assert [(answer.status_code, answer.json()["title"]) for answer in problems] == [(404, "Not found")] * 2


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
