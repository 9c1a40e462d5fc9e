"""The URL of the exchange: what is accepted, and where keys may go in clear."""

from __future__ import annotations

import pytest

from producers.errors import SettingsError
from worker.settings import WorkerSettings, exchange_origin


@pytest.mark.parametrize(
    "url",
    [
        "https://api.bitget.com",
        "https://api.bitget.com:8443/",
        "http://localhost:8080",
        "http://LocalHost",
        "http://127.0.0.1:8080",
        "http://127.9.8.7",
        "http://[::1]:8080",
    ],
)
def test_tls_and_this_machine_s_loopback_are_accepted(url: str) -> None:
    """Nobody else can read what is sent there."""
    assert WorkerSettings(exchange_url=url).exchange_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.bitget.com",
        "HTTP://api.bitget.com",
        "http://10.0.0.1",
        "http://0.0.0.0:8080",
        "http://[2001:db8::1]",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.1",
    ],
)
def test_http_to_another_machine_needs_to_be_allowed(url: str) -> None:
    """API keys and passphrases are headers of every request."""
    with pytest.raises(SettingsError, match=r"in clear.*COPYTRADE_EXCHANGE_INSECURE=true"):
        WorkerSettings(exchange_url=url)

    assert WorkerSettings(exchange_url=url, exchange_insecure=True).exchange_url == url


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("api.bitget.com", id="no scheme"),
        pytest.param("ftp://api.bitget.com", id="another scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https://:443", id="port alone"),
        pytest.param("https://me:hush@api.bitget.com", id="password"),
        pytest.param("https://hush@api.bitget.com", id="user"),
        pytest.param("https://@api.bitget.com", id="empty user"),
        pytest.param("https://me:hu/sh@api.bitget.com", id="password with a slash"),
        pytest.param("https://api.bitget.com/hush", id="path: it would be sent, but not signed"),
        pytest.param("https://api.bitget.com?token=hush", id="query"),
        pytest.param("https://api.bitget.com?", id="empty query"),
        pytest.param("https://api.bitget.com#hush", id="fragment"),
        pytest.param("https://api.bitget.com:hush", id="port is a word"),
        pytest.param("https://api.bitget.com:0", id="port 0"),
        pytest.param("https://api.bitget.com:65536", id="port out of range"),
        pytest.param("https://api bitget.com", id="blank"),
        pytest.param("https://api.bitget.com\n", id="line break"),
        pytest.param("https://[::1", id="half a bracket"),
    ],
)
@pytest.mark.parametrize("insecure", [False, True])
def test_a_url_is_scheme_and_host_and_is_not_quoted_in_the_error(url: str, insecure: bool) -> None:
    """It may hold a password."""
    with pytest.raises(SettingsError, match=r"^COPYTRADE_EXCHANGE_URL: .*scheme and host only") as caught:
        WorkerSettings(exchange_url=url, exchange_insecure=insecure)

    assert "hush" not in f"{caught.value}{caught.value.__cause__}{caught.value.__context__}"


def test_an_origin_is_in_lower_case_without_a_slash() -> None:
    """It is the first part of every URL that is requested."""
    assert exchange_origin("HTTPS://API.Bitget.com:443/") == "https://api.bitget.com:443"
