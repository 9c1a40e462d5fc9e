"""What the calls of one gateway process share: the producer, and the access keys that were seen."""

from __future__ import annotations

import hmac
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State

from producers import Producer
from producers.contract.access_keys import AccessKey, Scope, key_id_of
from producers.errors import ProducerError, QueueUnavailable, SettingsError
from producers.gateway.calls.feed import Feed
from producers.gateway.calls.known_keys import KnownKeys
from producers.gateway.calls.problems import KeysUnavailable, NotAuthenticated, NotPermitted, TooManyCalls
from producers.gateway.calls.reading import Reading
from producers.gateway.calls.recent import Recent
from producers.gateway.calls.request_times import RequestTimes
from producers.gateway.settings import GatewaySettings, is_loopback

REVOKED = "the access key is not valid; it may have been revoked"

LOCAL = AccessKey(key_id="local", name="this machine", digest="", scopes=frozenset(Scope))
"""The key of all calls of a gateway without access keys."""

AnyRequest = Request[Any, Any, Any]

_STATE, _KEY = "copytrade_gateway", "copytrade_key"


class Gateway:
    """One gateway process. The producer connects at the first call, so that no lifespan is needed.

    Attributes:
        settings: its settings.
        feed: the news of the batches that event streams follow.
        open_streams: how many event streams are open.
        times: how long its calls take.
        readings: the queue as metrics and health show it.
        scrapers: hashes of the headers Authorization with which metrics were read.
    """

    def __init__(self, settings: GatewaySettings, sign_in_token: str | None = None) -> None:
        self.settings = settings
        self._sign_in_token = sign_in_token
        self._producer: Producer | None = None
        self.feed = Feed()
        self.open_streams = 0
        self.times = RequestTimes(time.perf_counter)
        self.readings = Recent[Reading]()
        self.scrapers: set[str] = set()
        self._keys = KnownKeys(lambda: self.producer.access_keys, has_shards=settings.shards > 1)

    @property
    def producer(self) -> Producer:
        """The producer of this process."""
        if self._producer is None:
            self._producer = Producer.connect(settings=self.settings)
        return self._producer

    async def close(self) -> None:
        """Close the connections to Redis. A call after that opens them again."""
        await self.feed.close()
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.close()

    async def authenticate(self, header: str | None, client: str | None) -> AccessKey:
        """Return the access key of a call.

        Args:
            header: its header Authorization.
            client: the address that it comes from; None for a socket of this machine.

        Raises:
            NotAuthenticated: there is none, or it is not valid; or without keys the call is not of this machine.
            TooManyCalls: the key's own rate is used up.
        """
        if not self.settings.gateway_auth:
            if client is not None and not is_loopback(client):
                raise NotAuthenticated("without access keys, the gateway serves calls of its own machine only")
            return LOCAL
        scheme, _, text = (header or "").partition(" ")
        key_id = key_id_of(text.strip())
        if scheme.lower() != "bearer":
            raise NotAuthenticated("this call needs an access key: Authorization: Bearer ct_...")
        if key_id is None:
            raise NotAuthenticated("what this call has sent is no access key: send a key as it was shown, ct_..._...")
        key = await self._keys.get(key_id)
        if key is None or not key.matches(text.strip()):
            raise NotAuthenticated(REVOKED)
        wait_s = await self._keys.count_call(key)
        if wait_s > 0:
            detail = f"access key {key.key_id} is limited to {key.rate_per_s:g} calls a second"
            raise TooManyCalls(detail, retry_after_s=wait_s)
        return key

    async def session_key(self, token: str) -> AccessKey | None:
        """Return the access key with which a browser signed in; None if its session has ended, or the key is gone."""
        key_id = await self._keys.find_session(token)
        if key_id is None:
            return None
        return LOCAL if key_id == LOCAL.key_id else await self._keys.get(key_id)

    async def end_session(self, token: str) -> None:
        """End the session of a browser."""
        self._keys.forget_session(token)
        await self.producer.access_keys.end_session(token)

    def use_sign_in_token(self, token: str) -> bool:
        """Return whether this is the token of the link that `serve` printed. It is valid once."""
        if self._sign_in_token is None or not hmac.compare_digest(self._sign_in_token.encode(), token.encode()):
            return False
        self._sign_in_token = None
        return True

    def restore_sign_in_token(self, token: str) -> None:
        """Make the link that `serve` printed valid again: no session was opened with it."""
        self._sign_in_token = token

    async def has_key(self, key: AccessKey) -> bool:
        """Return whether an access key has not been revoked. While Redis is away, nobody knows: it has not."""
        with suppress(ProducerError):
            return key is LOCAL or await self._keys.get(key.key_id) is not None
        return True


def attach(state: State, gateway: Gateway) -> None:
    """Keep a gateway in an application's state."""
    state[_STATE] = gateway


def gateway_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Gateway:
    """Return the gateway of a call."""
    return gateway_in(connection.app.state)


def gateway_in(state: State) -> Gateway:
    """Return the gateway that is kept in an application's state."""
    gateway: Gateway = state[_STATE]
    return gateway


def key_of(request: AnyRequest) -> AccessKey:
    """Return the access key of a call."""
    key: AccessKey = request.scope["state"][_KEY]
    return key


def admitted_key(connection: ASGIConnection[Any, Any, Any, Any]) -> AccessKey | None:
    """Return the access key of a call; None if it has not been admitted."""
    key: AccessKey | None = connection.scope["state"].get(_KEY)
    return key


async def authorize(request: AnyRequest) -> None:
    """Admit a call whose access key has the scope of its route, before its body is read.

    Raises:
        NotAuthenticated: there is no valid key.
        NotPermitted: it has not the scope.
        KeysUnavailable: Redis, which has the keys, is away.
    """
    scope: Scope | None = request.route_handler.opt.get("scope")
    if scope is None:
        return
    client = request.client.host if request.client else None
    try:
        key = await gateway_of(request).authenticate(request.headers.get("authorization"), client)
    except (QueueUnavailable, SettingsError) as exc:
        raise KeysUnavailable("access keys cannot be checked now; call again later") from exc
    require_scope(gateway_of(request).settings, key, scope)
    admit(request, key)


async def is_still_admitted(request: AnyRequest) -> bool:
    """Return whether the access key of a call that lasts is still valid: nothing more is read for it otherwise."""
    return await gateway_of(request).has_key(key_of(request))


def require_scope(settings: GatewaySettings, key: AccessKey, scope: Scope) -> None:
    """Check that a key permits what has a scope, and that this gateway does it.

    Raises:
        NotPermitted: it does not.
    """
    if scope not in key.scopes:
        raise NotPermitted(f"access key {key.key_id} has not the scope {scope}, which this needs")
    if settings.gateway_read_only and scope is not Scope.READ:
        raise NotPermitted("this gateway is read-only: it was started with --read-only, or COPYTRADE_GATEWAY_READ_ONLY")


def admit(connection: ASGIConnection[Any, Any, Any, Any], key: AccessKey) -> None:
    """Note whose call it is."""
    connection.scope["state"][_KEY] = key


def require_id(request: AnyRequest, name: str) -> None:
    """Check that the key of a call may ask for a job or a batch.

    Raises:
        NotPermitted: it is bound to some users or traders, and did not enqueue this.
    """
    key = key_of(request)
    if not key.permits_id(name):
        raise NotPermitted(f"access key {key.key_id} may ask only for what it enqueued: IDs that begin {key.key_id}.")


def require_lane(request: AnyRequest, user_id: str, trader_id: str) -> None:
    """Check that the key of a call may concern a user and a trader.

    Raises:
        NotPermitted: it may not.
    """
    key = key_of(request)
    if not key.permits_lane(user_id, trader_id):
        raise NotPermitted(f"access key {key.key_id} is not for user {user_id} and trader {trader_id}")


def location(request: AnyRequest, path: str, name: str | None = None) -> str:
    """Return the path of another resource, under the prefix that this application is mounted at.

    Args:
        request: the call.
        path: the path.
        name: an ID that follows it, quoted; None for none.
    """
    last = "" if name is None else f"/{quote(name, safe='')}"
    return f"{request.scope.get('root_path', '').rstrip('/')}{path}{last}"


def next_page(request: AnyRequest, **parameters: object) -> dict[str, str]:
    """Return the header with the address of the next page (RFC 8288): this one, but for some parameters."""
    query = urlencode({**request.query_params, **parameters})
    return {"Link": f'<{quote(request.scope["path"])}?{query}>; rel="next"'}


ACCEPTED, OK = HTTPStatus.ACCEPTED.value, HTTPStatus.OK.value
