"""Malformed DSNs, whatever their passwords contain."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from producers import ProducerSettings, SettingsError
from producers.transport.dsn import open_redis

MARKERS = "QXZ"
"""Characters that occur in passwords only, and in none of our messages."""

MALFORMED = [
    "redis://{}@cache:port",
    "redis://{}@cache/database",
    "redis://:{}@[cache",
    "redis://:{}@a,b",
    "redis://user:{}@cache?decode_responses=true",
    "redis://user:{}@cache:99999",
    "redis://user:{}:port",
    "rediss://:{}@cache/0?ssl_ca_certs=/nowhere/ca.pem",
    "sentinel://u:{}@a,b",
    "sentinel://:{}@a,:{}@b:port/main",
    "sentinel://a?sentinel_password={}",
    "sentinel://a,b/main/database?sentinel_password={}&tls=maybe",
    "unix://u:{}@/run/redis.sock?db=database",
    "unix:///run/redis.sock?db=database&password={}",
    "http://user:{}@cache",
]

a_password = st.text(MARKERS + "?#/@:[]%+&=,; \n\t\u2100", min_size=1).filter(lambda text: set(text) & set(MARKERS))


@given(password=a_password, form=st.sampled_from(MALFORMED))
def test_nothing_shows_a_part_of_a_malformed_dsns_password(password: str, form: str) -> None:
    """Neither the error, nor what it is chained to, nor the settings."""
    dsn = form.replace("{}", password)
    with pytest.raises(SettingsError) as caught:
        open_redis(dsn, Redis, timeout_s=1)

    chain: BaseException | None = caught.value
    while chain is not None:
        assert not set(str(chain)) & set(MARKERS), "".join(traceback.format_exception_only(chain))
        chain = chain.__cause__ or chain.__context__
    assert not set(repr(ProducerSettings(redis_dsn=dsn))) & set(MARKERS)
