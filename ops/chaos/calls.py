"""The calls that a step is made of, by either of the producers' packages: the same names with and without await."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol, Self

from ops.chaos.workload import Method, Step
from producers import Producer
from producers.sync import Producer as SyncProducer

Landed = tuple[tuple[int, ...], tuple[int, ...]]
"""Places of a step's changes: those that are accepted, and those that were refused."""
Tell = Callable[[int], None]
"""Told of each place as soon as it is known to be accepted."""


class Calls(Protocol):
    """What a producer's process asks for."""

    async def ask(self, one: Step, tell: Tell) -> Landed:
        """Asks for a step.

        Raises:
            QueueUnavailable: not all of it was answered.
        """
        ...

    async def cancel(self, job_id: str) -> str:
        """Takes a change back; the verdict."""
        ...

    def results(self, batch_id: str, after: str | None) -> AsyncIterator[tuple[str, str, str]]:
        """Job ID, outcome and cursor of each result of a batch, until it is complete."""
        ...


class Asynchronous:
    """`producers`."""

    async def __aenter__(self) -> Self:
        self._producer = Producer.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.close()

    async def ask(self, one: Step, tell: Tell) -> Landed:
        """See Calls."""
        match one.how:
            case Method.ONE_BY_ONE:
                for place, item in enumerate(one.items):
                    await self._producer.enqueue(
                        item.change, job_id=one.job_id(place), priority=one.priority, ttl_s=one.ttl_s
                    )
                    tell(place)
                return _landed(one, [])
            case Method.MANY:
                report = await self._producer.enqueue_many(**_many(one))
                return _landed(one, report.refused)
            case _:
                batch = await self._producer.fan_out(**_fan_out(one))
                return _landed(one, batch.report.refused if batch.report else [])

    async def cancel(self, job_id: str) -> str:
        """See Calls."""
        return await self._producer.job(job_id).cancel()

    async def results(self, batch_id: str, after: str | None) -> AsyncIterator[tuple[str, str, str]]:
        """See Calls."""
        stream = self._producer.batch(batch_id).results(after)
        async for result in stream:
            yield result.job_id, result.outcome, stream.cursor


class Synchronous:
    """`producers.sync`, each call in a thread so that batches can be read beside them."""

    async def __aenter__(self) -> Self:
        self._producer = SyncProducer.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._producer.close()

    async def ask(self, one: Step, tell: Tell) -> Landed:
        """See Calls."""
        return await asyncio.to_thread(self._ask, one, tell)

    def _ask(self, one: Step, tell: Tell) -> Landed:
        match one.how:
            case Method.ONE_BY_ONE:
                for place, item in enumerate(one.items):
                    self._producer.enqueue(
                        item.change, job_id=one.job_id(place), priority=one.priority, ttl_s=one.ttl_s
                    )
                    tell(place)
                return _landed(one, [])
            case Method.MANY:
                return _landed(one, self._producer.enqueue_many(**_many(one)).refused)
            case _:
                batch = self._producer.fan_out(**_fan_out(one))
                return _landed(one, batch.report.refused if batch.report else [])

    async def cancel(self, job_id: str) -> str:
        """See Calls."""
        return await asyncio.to_thread(self._producer.job(job_id).cancel)

    async def results(self, batch_id: str, after: str | None) -> AsyncIterator[tuple[str, str, str]]:
        """See Calls."""
        stream = self._producer.batch(batch_id).results(after)
        results: Iterator[Any] = iter(stream)
        while (result := await asyncio.to_thread(next, results, None)) is not None:
            yield result.job_id, result.outcome, stream.cursor


def _many(one: Step) -> dict[str, Any]:
    ids = iter([one.job_id(place) for place in range(len(one.items))])
    return {
        "changes": [item.change for item in one.items],
        "job_id": lambda _change: next(ids),
        "priority": one.priority,
        "coalesce": one.coalesce,
        "ttl_s": one.ttl_s,
    }


def _fan_out(one: Step) -> dict[str, Any]:
    rest = {"batch_id": one.name, "priority": one.priority, "ttl_s": one.ttl_s}
    if one.how is Method.FAN_OUT:
        return {"changes": [item.change for item in one.items], **rest}
    template = one.items[0].change
    users = [item.user for item in one.items]
    return {"trader_id": template.trader_id, "settings": template.settings, "user_ids": users, **rest}


def _landed(one: Step, refused: list[Any]) -> Landed:
    not_taken = {refusal.index for refusal in refused}
    return tuple(place for place in range(len(one.items)) if place not in not_taken), tuple(sorted(not_taken))
