"""The pictures in the README, made from a queue with traffic: CONSOLE_SCREENSHOTS=1 makes them anew, in two minutes."""

from __future__ import annotations

import asyncio
import os
from itertools import count
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, expect

from ops.children import temporary_folder
from ops.redis_server import embedded_valkey
from ops.serving import serving
from ops.stack import Stack, User, write_credentials
from producers import CopySetting, Producer, SettingsChange
from tests.browser.site import new_tab
from tests.support.browser import needs_browser

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="session")]

FOLDER = Path(__file__).parents[2] / "ops" / "screenshots"
MAX_BYTES = 150_000
TRAFFIC_S = float(os.environ.get("CONSOLE_SCREENSHOTS_S", "90"))
SETTING = CopySetting(
    symbol="ETHUSDT", product_type="USDT-FUTURES", margin_type="trader", lever_type="trader", trace_type="percent",
    trace_value="1",
)  # fmt: skip
USERS = [f"follower-{number}" for number in range(1001, 1501)]
MISTYPED = ["follower-2001", "follower-2002", "follower-2003"]
SOME_BROKEN = {"kind": "http_502", "probability": 0.02}
REJECTED = USERS[7:250:60]


@pytest.mark.skipif(not os.environ.get("CONSOLE_SCREENSHOTS"), reason="CONSOLE_SCREENSHOTS is not set")
async def test_pictures_of_the_console_are_small(browser: Browser) -> None:
    """The overview, a user that waits, and a batch, light; the overview, dark."""
    with temporary_folder("pictures-") as folder, embedded_valkey() as dsn:
        users = [User(user) for user in [*USERS, *MISTYPED]]
        wrong = {user: {"passphrase": "mistyped"} for user in MISTYPED}
        credentials = write_credentials(folder / "workers.toml", users, wrong=wrong)
        double_credentials = write_credentials(folder / "exchange.toml", users)
        async with (
            Stack(dsn, credentials, double_credentials) as stack,
            Producer.connect(dsn) as producer,
            serving(dsn, "--no-auth") as gateway,
            new_tab(browser, viewport={"width": 1200, "height": 900}) as tab,
        ):
            page, url = tab.page, gateway.url
            await stack.set_faults(SOME_BROKEN)
            await stack.start_workers(2)
            traffic = asyncio.create_task(send(producer))
            await tab.go(f"{url}/")
            await asyncio.sleep(TRAFFIC_S)
            rejected = [{"kind": "code:40017", "user": user, "first": 5} for user in REJECTED]
            await stack.set_faults(SOME_BROKEN, *rejected)
            await producer.fan_out(
                trader_id="star-trader", settings=[SETTING], user_ids=[*USERS[:300], *MISTYPED], batch_id="july"
            )
            await picture(page, "overview", "light")
            await page.emulate_media(color_scheme="dark")
            await tab.go(f"{url}/")
            await picture(page, "overview-dark", "dark")
            await tab.go(f"{url}/batch?id=july")
            await expect(page.get_by_role("row", name="rejected").first).to_be_visible()
            await picture(page, "batch", "light")
            await producer.pause(user_id=USERS[400])
            (job, *_) = (
                await producer.enqueue_many(
                    [change_of(USERS[400], trader) for trader in ("star-trader", "star-trader", "moon-trader")]
                )
            ).jobs
            await tab.go(f"{url}/user?id={USERS[400]}")
            await picture(page, "user", "light")
            await tab.go(f"{url}/change?id={job.job_id}")
            await picture(page, "change", "light")
            traffic.cancel()

    assert [path.name for path in FOLDER.glob("*.png") if path.stat().st_size > MAX_BYTES] == []


def change_of(user: str, trader: str) -> SettingsChange:
    return SettingsChange(user_id=user, trader_id=trader, settings=[SETTING])


async def send(producer: Producer) -> None:
    """Enqueue batches for ever, faster than they are sent now, slower then."""
    for number in count(1):
        users = USERS[(number * 37) % 200 :][:150]
        await producer.fan_out(trader_id="star-trader", settings=[SETTING], user_ids=users, batch_id=f"june-{number}")
        await asyncio.sleep(1.2 if number % 20 < 10 else 2.5)


async def picture(page: Page, name: str, scheme: Literal["light", "dark"]) -> None:
    """Write what is seen of a page."""
    await page.emulate_media(color_scheme=scheme)
    FOLDER.mkdir(exist_ok=True)
    await page.screenshot(path=FOLDER / f"{name}.png")
