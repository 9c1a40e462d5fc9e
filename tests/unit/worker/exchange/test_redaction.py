"""Replies of the exchange without the secrets of their user."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from worker.credentials.model import Credentials
from worker.exchange.redaction import redact
from worker.exchange.replies import MAX_MESSAGE_CHARS, classify
from worker.exchange.signing import SIGNATURE, headers
from worker.secret import HIDDEN, Secret

API_KEY, SECRET_KEY, PASSPHRASE = "bg_0123456789abcdef0123456789abcdef", "5ec4e7" * 10, 'pa"ss/&<7>\\word'
CREDENTIALS = Credentials(
    user_id="1001", api_key=Secret(API_KEY), secret_key=Secret(SECRET_KEY), passphrase=Secret(PASSPHRASE)
)
SIGNED = headers(CREDENTIALS, 1, "POST", "/path", b"{}")
SECRETS = {"key": API_KEY, "secret": SECRET_KEY, "passphrase": PASSPHRASE, "signature": SIGNED[SIGNATURE]}
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in JSON": lambda text: json.dumps(text)[1:-1],
    "in JSON with slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "in a list": lambda text: repr(text)[1:-1],
    "in a URL": lambda text: quote(text, safe=""),
    "in HTML": html.escape,
}


def kept(message: str, code: str = "40037") -> str:
    """Return all that is kept of a reply with this message."""
    body = json.dumps({"code": code, "msg": message, "requestTime": 1_790_000_000_000, "data": None}).encode()
    return repr(redact(classify(400, body), CREDENTIALS, SIGNED))


@pytest.mark.parametrize("which", SECRETS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_message_that_quotes_a_secret_is_kept_without_it(which: str, spelling: str) -> None:
    """Spellings of JSON, Python, URLs and HTML are found; the rest of the message stays."""
    spelt = SPELLINGS[spelling](SECRETS[which])

    said = kept(f"invalid [{spelt}] in the request")

    assert f"invalid [{HIDDEN}] in the request" in said


@pytest.mark.parametrize("which", SECRETS)
@pytest.mark.parametrize("seen", [4, 7, 14])
def test_a_secret_that_is_cut_with_its_message_is_hidden_too(which: str, seen: int) -> None:
    """Half of a key must not be left."""
    secret = SECRETS[which]

    said = kept("x" * (MAX_MESSAGE_CHARS - seen) + secret)

    assert f"x{HIDDEN}'" in said
    assert secret[:4] not in said


def test_a_code_that_is_a_secret_is_dropped() -> None:
    """The code is kept with the result like the message."""
    assert PASSPHRASE not in kept("no", code=PASSPHRASE)


def test_echoed_headers_leave_no_secret_in_the_message() -> None:
    """Not even the first eight characters of one."""
    said = kept(str({"ACCESS-SIGN": SIGNED[SIGNATURE], "ACCESS-PASSPHRASE": PASSPHRASE, "ACCESS-KEY": API_KEY}))

    assert not [secret for secret in SECRETS.values() if secret[:8] in said]


@pytest.mark.parametrize("message", ["", "success", "Request timestamp expired", "x" * 500])
def test_a_message_that_quotes_nothing_stays_as_it_is(message: str) -> None:
    """The same reply object is returned."""
    reply = classify(400, json.dumps({"code": "40008", "msg": message}).encode())

    assert redact(reply, CREDENTIALS, SIGNED) is reply


def test_short_texts_are_not_taken_for_secrets_in_messages() -> None:
    """The exchange has no secrets that short."""
    short = Credentials(user_id="1", api_key=Secret("key"), secret_key=Secret("hush"), passphrase=Secret("pass"))
    reply = classify(400, b'{"code":"40012","msg":"apikey/password is incorrect"}')

    assert redact(reply, short, headers(short, 1, "POST", "/path", b"")) is reply
