"""The gateway inside another application, and below the prefix of a proxy."""

from __future__ import annotations

import pytest
from litestar import Litestar, asgi
from litestar.types import Receive, Scope, Send

from producers.gateway import GatewaySettings, create_app
from tests.support.gateway import body, served


@pytest.mark.parametrize("passed_on", ["", "/ct"], ids=["proxy takes it off", "proxy leaves it"])
async def test_links_are_right_below_the_prefix_of_a_proxy(valkey_dsn: str, passed_on: str) -> None:
    """Those of answers, and that of the document."""
    app = create_app(GatewaySettings(redis_dsn=valkey_dsn, gateway_auth=False))
    async with served(app, root_path="/ct") as gateway:
        one = await gateway.post(f"{passed_on}/v1/changes", json=body())
        many = await gateway.post(f"{passed_on}/v1/batches", json={"changes": [body()]})
        document = await gateway.get(f"{passed_on}/v1/openapi.json")

    assert (one.status_code, many.status_code) == (202, 202)
    assert one.headers["Location"].startswith("/ct/v1/changes/local.")
    assert many.headers["Location"].startswith("/ct/v1/batches/local.")
    assert document.json()["servers"] == [{"url": "/ct"}]


@pytest.mark.parametrize("place", ["/queue", "/v1"])
@pytest.mark.parametrize("in_path", [True, False], ids=["prefix in the path", "prefix taken off"])
async def test_another_application_may_mount_the_gateway(valkey_dsn: str, place: str, *, in_path: bool) -> None:
    """It needs no lifespan of its own, and its links begin with the place where it is mounted.

    ASGI says that the prefix is in the path, as Starlette passes it on; Litestar takes it off.
    """
    inner = create_app(GatewaySettings(redis_dsn=valkey_dsn, gateway_auth=False))

    @asgi(place, is_mount=True, copy_scope=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        scope["root_path"] = f"{scope.get('root_path', '')}{place}"
        scope["path"] = f"{place if in_path else ''}{scope['path']}"
        await inner(scope, receive, send)

    async with served(Litestar([mounted], openapi_config=None)) as gateway:
        answer = await gateway.post(f"{place}/v1/changes", json=body())
        found = await gateway.get(answer.headers["Location"])

    assert (answer.status_code, found.status_code) == (202, 200)
    assert answer.headers["Location"].startswith(f"{place}/v1/changes/local.")


async def test_the_lifespan_of_an_application_that_mounts_it_may_end_before_calls_do(valkey_dsn: str) -> None:
    """A call after it connects again."""
    app = create_app(GatewaySettings(redis_dsn=valkey_dsn, gateway_auth=False))
    for _ in range(2):
        async with served(app) as gateway:
            assert (await gateway.post("/v1/changes", json=body())).status_code == 202


def test_the_application_of_the_environment_is_made_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong variable stops that, and not the import."""
    monkeypatch.setenv("COPYTRADE_GATEWAY_STREAMS", "7")
    import producers.gateway  # noqa: PLC0415

    monkeypatch.delitem(producers.gateway.__dict__, "app", raising=False)

    assert isinstance(producers.gateway.app, Litestar)
    with pytest.raises(AttributeError, match="nothing"):
        producers.gateway.nothing  # noqa: B018
