"""The calls that a step consists of, with either producer: `producers`, or `producers.sync` in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol, Self

from ops.chaos.workload import Method, Step
from producers import Producer
from producers.sync import Producer as SyncProducer

Positions = tuple[tuple[int, ...], tuple[int, ...]]
"""Positions of a step's changes: the accepted ones, and the refused ones."""
OnAccepted = Callable[[int], None]
"""Called with a position as soon as its change is accepted."""


class Calls(Protocol):
    """What a producer's process calls."""

    async def request(self, one: Step, on_accepted: OnAccepted) -> Positions:
        """Request the changes of a step.

        Raises:
            QueueUnavailable: some of it was not answered.
        """
        ...

    async def cancel(self, job_id: str) -> str:
        """Cancel a change and return the verdict."""
        ...

    def results(self, batch_id: str, after: str | None) -> AsyncIterator[tuple[str, str, str]]:
        """Yield job ID, outcome and cursor of each result of a batch, until it is complete."""
        ...


class ProducerCalls:
    """Calls on a real producer, found by the environment variables.

    Args:
        is_sync: whether to use `producers.sync`, each call in a thread, so that batches can be read meanwhile.
    """

    def __init__(self, *, is_sync: bool) -> None:
        self._is_sync = is_sync
        self._resources = AsyncExitStack()
        self._producer: Any = None

    async def __aenter__(self) -> Self:
        if self._is_sync:
            self._producer = self._resources.enter_context(SyncProducer.connect())
        else:
            self._producer = await self._resources.enter_async_context(Producer.connect())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    async def request(self, one: Step, on_accepted: OnAccepted) -> Positions:
        """See Calls."""
        options: dict[str, Any] = {"priority": one.priority, "ttl_s": one.ttl_s}
        changes = [item.change for item in one.items]
        ids = [one.job_id(position) for position in range(len(changes))]
        refused: list[Any] = []
        match one.method:
            case Method.ONE_BY_ONE:
                for position, change in enumerate(changes):
                    await self._call(self._producer.enqueue, change, job_id=ids[position], **options)
                    on_accepted(position)
            case Method.MANY:
                unused_ids = iter(ids)
                options |= {"coalesce": one.coalesce, "job_id": lambda _change: next(unused_ids)}
                report = await self._call(self._producer.enqueue_many, changes, **options)
                refused = report.refused
            case Method.FAN_OUT | Method.TEMPLATE:
                if one.method is Method.TEMPLATE:
                    users = [item.user for item in one.items]
                    options |= {"trader_id": changes[0].trader_id, "settings": changes[0].settings, "user_ids": users}
                else:
                    options |= {"changes": changes}
                batch = await self._call(self._producer.fan_out, batch_id=one.name, **options)
                refused = batch.report.refused if batch.report else []
        missing = {refusal.index for refusal in refused}
        return tuple(each for each in range(len(changes)) if each not in missing), tuple(sorted(missing))

    async def cancel(self, job_id: str) -> str:
        """See Calls."""
        return f"{await self._call(self._producer.job(job_id).cancel)}"

    async def results(self, batch_id: str, after: str | None) -> AsyncIterator[tuple[str, str, str]]:
        """See Calls."""
        stream = self._producer.batch(batch_id).results(after)
        results = iter(stream) if self._is_sync else aiter(stream)
        while (result := await self._call(next if self._is_sync else anext, results, None)) is not None:
            yield result.job_id, result.outcome, stream.cursor

    async def _call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if self._is_sync:
            return await asyncio.to_thread(function, *args, **options)
        return await function(*args, **options)
