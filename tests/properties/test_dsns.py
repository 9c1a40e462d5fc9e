"""Malformed DSNs, whatever their passwords contain, and well-formed ones of clusters."""

from __future__ import annotations

import traceback
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from producers import ProducerSettings, SettingsError
from producers.transport.dsn import open_redis
from producers.transport.dsn_parser import DEFAULT_PORT, parse_dsn

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
    "redis+cluster://u:{}@a,b:port",
    "redis+cluster://:{}@a/1",
    "redis+cluster://:{}@a?tls=maybe",
    "unix://u:{}@/run/redis.sock?db=database",
    "unix:///run/redis.sock?db=database&password={}",
    "http://user:{}@cache",
]

a_host = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True) | st.ip_addresses().map(
    str
)

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


@given(
    hosts=st.lists(st.tuples(a_host, st.integers(1, 65_535) | st.none()), min_size=1, max_size=9),
    password=st.text(min_size=1),
)
def test_a_clusters_dsn_is_read_as_it_was_meant(hosts: list[tuple[str, int | None]], password: str) -> None:
    """Any hosts in their order, IPv6 in brackets, with or without ports; any password, percent-encoded."""
    names = [f"[{host}]" if ":" in host else host for host, _ in hosts]
    written = ",".join(name if port is None else f"{name}:{port}" for name, (_, port) in zip(names, hosts, strict=True))

    target = parse_dsn(f"redis+cluster://:{quote(password, safe='')}@{written}")

    assert target.hosts == [(host, port or DEFAULT_PORT) for host, port in hosts]
    assert target.server["password"] == password
