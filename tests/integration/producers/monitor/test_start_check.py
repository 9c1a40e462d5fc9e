"""What a gateway asks of its Redis before it starts."""

from __future__ import annotations

import pytest
from arq.connections import ArqRedis

from ops.keys import KEYS
from ops.redis_server import free_port
from producers import LayoutMismatch, SettingsError
from producers.gateway.settings import GatewaySettings
from producers.monitor.start_check import check_redis


@pytest.mark.parametrize(
    ("begins", "says"),
    [
        ("redis+cluster://", "this Redis is not in cluster mode"),
        ("redis://:hush@", "Redis got a password, and has none"),
    ],
)
async def test_a_redis_that_will_never_serve_a_gateway_stops_its_start(valkey_dsn: str, begins: str, says: str) -> None:
    """By the name of the setting, without a password."""
    with pytest.raises(SettingsError, match=rf"^COPYTRADE_REDIS_DSN: {says} ") as caught:
        await check_redis(GatewaySettings(redis_dsn=valkey_dsn.replace("redis://", begins)))
    assert "hush" not in str(caught.value)


async def test_a_queue_of_an_earlier_version_stops_the_start_of_a_gateway(valkey: ArqRedis, valkey_dsn: str) -> None:
    """In the words of every program."""
    await valkey.zadd(KEYS.old_schedule, {"1001:t1": 1})

    with pytest.raises(LayoutMismatch, match="copytrade migrate --yes"):
        await check_redis(GatewaySettings(redis_dsn=valkey_dsn))


async def test_a_gateway_starts_while_redis_is_away_or_serves_it(valkey_dsn: str) -> None:
    """Its calls are refused until Redis is there, however long a producer would wait."""
    for dsn in (f"redis://127.0.0.1:{free_port()}", f"redis+cluster://127.0.0.1:{free_port()}", valkey_dsn):
        await check_redis(GatewaySettings(redis_dsn=dsn, redis_wait_s=3600))


async def test_the_shards_of_a_lost_home_stop_the_start_of_a_gateway_with_another_number(
    valkey: ArqRedis, valkey_dsn: str
) -> None:
    """Before it writes its own number there."""
    await check_redis(GatewaySettings(redis_dsn=valkey_dsn, shards=3))
    await valkey.delete(KEYS.layout)

    with pytest.raises(LayoutMismatch, match="COPYTRADE_SHARDS=3, and this program has 2"):
        await check_redis(GatewaySettings(redis_dsn=valkey_dsn, shards=2))
    assert not await valkey.exists(KEYS.layout)
