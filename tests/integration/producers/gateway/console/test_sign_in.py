"""Signing in to the console, and what a browser may do then."""

from __future__ import annotations

import httpx
import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from producers.contract.access_keys import Scope, key_id_of
from producers.queue.access_keys import revoke_key
from producers.transport.runner import execute
from tests.support.console import HOST, LINK_TOKEN, SESSION, sign_in
from tests.support.gateway import access_key, gateway_on

OTHER_ORIGINS = [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"}]


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
    assert browser.cookies[SESSION].encode() not in stored
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
    copy = {SESSION: browser.cookies[SESSION]}
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
    browser.cookies = httpx.Cookies({SESSION: cookie})

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


@pytest.mark.parametrize(("origin", "is_secure"), [(f"https://{HOST}", True), (f"http://{HOST}", False)])
async def test_a_cookie_is_for_tls_alone_if_the_browser_has_that(
    browser: httpx.AsyncClient, valkey: ArqRedis, origin: str, *, is_secure: bool
) -> None:
    """Also behind a proxy that ends it. Its name has the port: browsers send a cookie to every port of a host."""
    key = await access_key(valkey, Scope.READ)
    answer = await browser.post("/sign-in", data={"key": key}, headers={"Origin": origin})

    assert ("secure" in answer.headers["Set-Cookie"].lower()) is is_secure
    assert answer.headers["Set-Cookie"].startswith("copytrade_session_gateway_example_8321=")
