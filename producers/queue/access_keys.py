"""Plans about the access keys of the gateway."""

from __future__ import annotations

import msgspec

from producers.contract.access_keys import AccessKey, digest_of
from producers.contract.keyspace import Keyspace
from producers.contract.stored_values import Listing, read_each
from producers.queue.parts import CLOCK
from producers.transport.commands import DEL, GET, HDEL, HGET, HGETALL, HSETNX, SET
from producers.transport.plan import Plan, RunScript
from producers.transport.script_messages import Message, encode
from producers.transport.scripts import Script

US_PER_S = 1_000_000
SESSION_TTL_MS = 12 * 3_600_000
"""How long a browser stays signed in: a working day."""

BURST_S = 1.0
"""Calls of a second that a key may make at once."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AccessKey)


class KeyRateRequest(Message):
    """What key_rate.lua is given: a key's ID, its time between two calls, and how far it may be ahead (us)."""

    key_id: str
    pace: int
    burst: int


KEY_RATE = Script.load("producers.queue", "key_rate.lua", parts=[CLOCK], request=KeyRateRequest, runs_when_full=True)


def add_key(keys: Keyspace, key: AccessKey) -> Plan[bool]:
    """Store a key. Return False if its ID is in use."""
    is_new = yield from HSETNX(keys.gateway_keys, key.key_id, _encoder.encode(key))
    return bool(is_new)


def list_keys(keys: Keyspace) -> Plan[Listing[AccessKey]]:
    """Return the keys, oldest first."""
    stored = yield from HGETALL(keys.gateway_keys)
    found = read_each(stored.values(), _decoder.decode)
    found.sort(key=lambda key: (key.created_at_ms, key.key_id))
    return found


def fetch_key(keys: Keyspace, key_id: str) -> Plan[AccessKey | None]:
    """Return a key; None if there is none, or it cannot be read."""
    stored = yield from HGET(keys.gateway_keys, key_id)
    found = read_each([] if stored is None else [stored], _decoder.decode)
    return found[0] if found else None


def revoke_key(keys: Keyspace, key_id: str) -> Plan[bool]:
    """Delete a key. Return False if there is none."""
    return bool((yield from HDEL(keys.gateway_keys, key_id)))


def spend_call(key: AccessKey, rate_per_s: float) -> Plan[float]:
    """Count a call of a key with such a rate. Return the seconds until it may make one; 0 if this one is permitted."""
    pace_us = round(US_PER_S / rate_per_s)
    burst_us = max(0, round(BURST_S * US_PER_S) - pace_us)
    request = KeyRateRequest(key.key_id, pace_us, burst_us)
    wait_us = yield from RunScript[int](KEY_RATE, [encode(request)])
    return wait_us / US_PER_S


def save_session(keys: Keyspace, token: str, key_id: str) -> Plan[None]:
    """Store that a browser signed in with an access key."""
    yield from SET(keys.gateway_session + digest_of(token), key_id, "PX", SESSION_TTL_MS)


def fetch_session(keys: Keyspace, token: str) -> Plan[str | None]:
    """Return the ID of the access key of a browser's session; None if it has ended."""
    stored = yield from GET(keys.gateway_session + digest_of(token))
    return None if stored is None else stored.decode(errors="replace")


def end_session(keys: Keyspace, token: str) -> Plan[None]:
    """End the session of a browser."""
    yield from DEL(keys.gateway_session + digest_of(token))
