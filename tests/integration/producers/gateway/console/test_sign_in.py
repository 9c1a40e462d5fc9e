"""Signing in to the console, and what a browser may do then."""

from __future__ import annotations

import html
import re
from unittest.mock import AsyncMock

import httpx
import pytest
from arq.connections import ArqRedis

from producers import QueueUnavailable
from producers.client.access_keys import AccessKeys
from producers.contract.access_keys import Scope
from producers.gateway import GatewaySettings, create_app
from tests.support.console import HOST, LINK_TOKEN, SESSION, sign_in
from tests.support.gateway import access_key, gateway_on, served

FIELDS = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')
NAVIGATION = re.compile(r'href="(/[a-z-]*)"')
OTHER_ORIGINS = [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"}]


@pytest.mark.parametrize(
    ("path", "next_page"),
    [("/", ""), ("/workers", "?next=%2Fworkers"), ("/user?id=a%2Fb&x='", "?next=%2Fuser%3Fid%3Da%252Fb%26x%3D%27")],
)
async def test_a_page_asks_who_is_not_signed_in_to_sign_in(
    browser: httpx.AsyncClient, valkey: ArqRedis, path: str, next_page: str
) -> None:
    """And is shown after that, also to a browser that is signed in already."""
    asked = await browser.get(path)
    form = await browser.get(asked.headers["Location"])
    fields = dict(FIELDS.findall(html.unescape(form.text)))
    wrong = await browser.post("/sign-in", data={**fields, "key": "wrong"})
    signed_in = await browser.post("/sign-in", data={**fields, "key": await access_key(valkey, Scope.READ)})
    again = await browser.get(asked.headers["Location"])

    assert (asked.status_code, asked.headers["Location"]) == (303, f"/sign-in{next_page}")
    assert 'name="key"' in form.text
    assert "/workers" not in form.text.replace('value="/workers"', "")
    assert FIELDS.findall(html.unescape(wrong.text)) == list(fields.items())
    assert (signed_in.headers["Location"], again.headers["Location"]) == (path, path)


@pytest.mark.parametrize(
    "asked",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/../v1",
        "/%2e%2e/v1",
        "/x//evil.example",
        "/ü",
        "\n/",
        "",
    ],
)
async def test_no_other_site_follows_a_sign_in(browser: httpx.AsyncClient, valkey: ArqRedis, asked: str) -> None:
    """Nor a path outside of the console."""
    form = await browser.get("/sign-in", params={"next": asked})
    key = await access_key(valkey, Scope.READ)
    signed_in = await browser.post("/sign-in", data={"key": key, "next": asked})
    again = await browser.get("/sign-in", params={"next": asked})

    assert 'name="next"' not in form.text
    assert (signed_in.headers["Location"], again.headers["Location"]) == ("/", "/")


async def test_below_a_prefix_a_browser_stays_there(valkey_dsn: str, valkey: ArqRedis) -> None:
    """Whether or not the proxy takes it off."""
    key = await access_key(valkey, Scope.READ, user_ids=frozenset({"7"}))
    async with served(create_app(GatewaySettings(redis_dsn=valkey_dsn)), root_path="/ct") as gateway:
        gateway.headers["Accept"] = "text/html"
        asked = [(await gateway.get(f"{prefix}/batches")).headers["Location"] for prefix in ("", "/ct")]
        signed_in = await gateway.post("/sign-in", data={"key": key, "next": "/batches"})
        gateway.cookies.set(*signed_in.headers["Set-Cookie"].partition(";")[0].split("="))
        first = [(await gateway.get(path)).headers["Location"] for path in ("/", "/ct/")]

    assert asked == ["/ct/sign-in?next=%2Fbatches"] * 2
    assert signed_in.headers["Location"] == "/ct/batches"
    assert "path=/ct/" in signed_in.headers["Set-Cookie"].lower()
    assert first == ["/ct/search"] * 2


async def test_a_browser_that_another_site_leads_is_led_on_with_its_cookie(browser: httpx.AsyncClient) -> None:
    """It sends none before that: it may be signed in."""
    answer = await browser.get("/user?id=a'b", headers={"Sec-Fetch-Site": "cross-site"})

    assert (answer.status_code, answer.headers["Refresh"]) == (200, "0; url=/user?id=a'b")
    assert 'href="/user?id=a&#39;b"' in answer.text


async def test_a_key_that_may_see_nothing_does_not_sign_in(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """The form says what it lacks."""
    key = await access_key(valkey, Scope.ENQUEUE, Scope.OPERATE)
    answer = await browser.post("/sign-in", data={"key": key})

    assert answer.status_code == 403
    assert "has not the scope read" in answer.text
    assert "Set-Cookie" not in answer.headers


async def test_a_bound_key_begins_with_what_it_may_see(browser: httpx.AsyncClient, valkey: ArqRedis) -> None:
    """Its pages lead to no page that it may not see."""
    await sign_in(browser, valkey, Scope.READ, user_ids=frozenset({"7", "<b>"}))
    first = await browser.get("/")
    page = await browser.get(first.headers["Location"])
    refused = await browser.get("/workers")

    assert (first.status_code, first.headers["Location"]) == (303, "/search")
    assert 'href="/user?id=7"' in page.text
    assert [re.findall(r'href="(/[a-z-]*)"', text) for text in (page.text, refused.text)] == [
        ["/search", "/batches"]
    ] * 2
    assert refused.status_code == 403
    assert "Sign out" in refused.text


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
    first = await browser.get("/sign-in", params={"token": LINK_TOKEN, "next": "/workers"})
    page = await browser.get("/workers")
    second = await browser.get("/sign-in", params={"token": LINK_TOKEN})
    browser.cookies.clear()
    third = await browser.get("/sign-in", params={"token": LINK_TOKEN})

    assert (guess.status_code, first.status_code) == (401, 200)
    assert first.headers["Refresh"] == "0; url=/workers"
    assert "/actions/pause" in page.text
    assert (second.status_code, second.headers["Location"]) == (303, "/")  # it is signed in
    assert third.status_code == 401


async def test_the_link_is_not_used_up_while_redis_is_away(
    browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It signs in once Redis is back."""
    with monkeypatch.context() as away:
        away.setattr(AccessKeys, "open_session", AsyncMock(side_effect=QueueUnavailable("away")))
        refused = await browser.get("/sign-in", params={"token": LINK_TOKEN})
    signed_in = await browser.get("/sign-in", params={"token": LINK_TOKEN})

    assert (refused.status_code, signed_in.status_code) == (503, 200)
    assert browser.cookies[SESSION]


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
