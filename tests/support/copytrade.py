"""The `copytrade` command line, run in this process against a given server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from arq.connections import ArqRedis
from click.testing import CliRunner, Result

from producers import Outcome, Producer
from producers.cli.root import root
from producers.transport.dsn import open_redis
from tests.support.changes import change
from tests.support.lanes import Lanes

T = TypeVar("T")

FLAGS = (
    *("--trader", "t1", "--symbol", "BTCUSDT", "--product-type", "USDT-FUTURES", "--margin-type", "trader"),
    *("--lever-type", "trader", "--trace-type", "amount", "--trace-value", "330"),
)
"""Everything that a change needs beside its user."""


@dataclass(frozen=True)
class Copytrade:
    """The command line on one server.

    Attributes:
        dsn: where it is.
    """

    dsn: str

    def __call__(self, *words: str, stdin: str | bytes = "", status: int = 0) -> Result:
        """Run a command; its exit status must be as expected."""
        result = CliRunner().invoke(root, ["--redis", self.dsn, *words], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, f"{result.exit_code}\n{result.stdout}\n{result.stderr}"
        assert "\x1b" not in result.output
        return result

    def json(self, *words: str, stdin: str | bytes = "", status: int = 0) -> Any:
        """Return the document that a command prints with --json."""
        return json.loads(self(*words, "--json", stdin=stdin, status=status).stdout)

    def json_lines(self, *words: str, status: int = 0) -> list[Any]:
        """Return the documents that a command prints with --json, one a line."""
        return [json.loads(line) for line in self(*words, "--json", status=status).stdout.splitlines()]

    def error(self, *words: str, stdin: str | bytes = "", status: int) -> str:
        """Return the one line of a failing command, which prints nothing else."""
        result = self(*words, stdin=stdin, status=status)
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith("copytrade: ")
        return line.removeprefix("copytrade: ")

    def ask(self, work: Callable[[Producer], Awaitable[T]]) -> T:
        """Return what a producer on this server answers."""

        async def connected() -> T:
            async with Producer.connect(self.dsn) as producer:
                return await work(producer)

        return asyncio.run(connected())

    def enqueue(self, *users: str) -> None:
        """Enqueue a change for each user; its job ID is the user's with an `o` before it."""

        async def work(producer: Producer) -> None:
            await producer.enqueue_many([change(user) for user in users], job_id=lambda each: f"o{each.user_id}")

        self.ask(work)

    def end_all(self, outcomes: Mapping[str, Outcome] | None = None, **changed: Any) -> None:
        """End all that is queued, as a worker does: applied, or with the outcome given for the user."""

        async def settle() -> None:
            client = open_redis(self.dsn, ArqRedis, timeout_s=5)
            lanes = Lanes(client)
            while claims := await lanes.claim(1000):
                for claim in claims:
                    user, _, trader = claim.lane.partition(":")
                    outcome = (outcomes or {}).get(user, Outcome.APPLIED)
                    await lanes.done(claim, outcome, user_id=user, trader_id=trader, **changed)
            await client.aclose()

        asyncio.run(settle())

    def claim_all(self) -> None:
        """Put all that is due in flight under a worker that does nothing with it."""

        async def claim() -> None:
            client = open_redis(self.dsn, ArqRedis, timeout_s=5)
            await Lanes(client).claim(1000)
            await client.aclose()

        asyncio.run(claim())

    def attempt_all(self, verdict: str, **changed: Any) -> None:
        """Send all that is due once, with this verdict."""

        async def settle() -> None:
            client = open_redis(self.dsn, ArqRedis, timeout_s=5)
            lanes = Lanes(client)
            for claim in await lanes.claim(1000):
                await lanes.attempt(claim, verdict, **changed)
            await client.aclose()

        asyncio.run(settle())
