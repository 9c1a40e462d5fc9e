"""Fan-outs: enqueueing a batch, in all shards that have users of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal, overload

from producers.client.batch import Batch
from producers.client.enqueue import Enqueuer
from producers.client.shard import find_refused, run_on_all
from producers.contract.messages import AutoCopy, CopySetting, Mode, Priority, SettingsChange
from producers.contract.validation import check_new_batch_id
from producers.errors import BatchRefused, QueueUnavailable, Refusal
from producers.queue import batches
from producers.queue.fan_out import FanOut, FanOutReport, Preview, preview, refuse_full_lanes
from producers.queue.submit import SubmitOptions
from producers.transport.pipeline import MAX_IN_FLIGHT, AnyIterable, aiter_any

OnChunk = Callable[[FanOutReport], None]


class FanOuter(Enqueuer):
    """The methods of `Producer` that enqueue changes, those of batches included."""

    @overload
    async def fan_out(
        self,
        changes: AnyIterable[Any] | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: AnyIterable[Any] | None = None,
        auto_copy: AutoCopy | None = None,
        mode: Mode | None = None,
        batch_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.BULK,
        all_or_nothing: bool = False,
        dry_run: Literal[False] = False,
        on_chunk: OnChunk | None = None,
    ) -> Batch: ...

    @overload
    async def fan_out(
        self,
        changes: AnyIterable[Any] | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: AnyIterable[Any] | None = None,
        auto_copy: AutoCopy | None = None,
        mode: Mode | None = None,
        batch_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.BULK,
        all_or_nothing: bool = False,
        dry_run: Literal[True],
        on_chunk: OnChunk | None = None,
    ) -> Preview: ...

    async def fan_out(
        self,
        changes: AnyIterable[Any] | None = None,
        *,
        trader_id: str | None = None,
        settings: Sequence[CopySetting] | None = None,
        user_ids: AnyIterable[Any] | None = None,
        auto_copy: AutoCopy | None = None,
        mode: Mode | None = None,
        batch_id: str | None = None,
        ttl_s: float | None = None,
        priority: Priority = Priority.BULK,
        all_or_nothing: bool = False,
        dry_run: bool = False,
        on_chunk: OnChunk | None = None,
    ) -> Batch | Preview:
        """Enqueue a batch: the same settings for many users, or many different changes.

        Running the same fan-out again with its `batch_id`, for example after a failure, adds only what is missing.
        `user_ids` may then be in another order; `changes` must be equal and in the same order.

        Example:
            batch = await producer.fan_out(
                trader_id="4728317", settings=[setting], user_ids=follower_ids, batch_id="july"
            )
            progress = await batch.wait()

        Args:
            changes: the changes, instead of `trader_id`, `settings` and `user_ids`; iterables may be asynchronous.
            trader_id: the trader of every change.
            settings: the settings of every change, one to ten.
            user_ids: the users, one change each. A user that occurs twice counts as already there.
            auto_copy: the same field of every change.
            mode: the same field of every change.
            batch_id: the batch's ID; by default a new one that sorts by time.
            ttl_s: seconds from now after which a change ends `expired`; by default `COPYTRADE_CHANGE_TTL_S`.
            priority: `bulk` sends lanes with interactive changes first.
            all_or_nothing: True enqueues nothing if one item is invalid, or if the batch is new and a lane is full now.
                Holds all items.
            dry_run: True writes nothing, and returns what would be enqueued.
            on_chunk: called with the report so far after each chunk of up to 250 items.

        Returns:
            The batch; its `report` counts the accepted items and lists the refused ones. With `dry_run`, a Preview.

        Raises:
            InvalidChange: the settings for all users break a rule; nothing was written.
            InvalidArgument: `ttl_s` is out of bounds, or `user_ids` is a single ID; nothing was written.
            InvalidId: `batch_id` is not a valid ID; nothing was written.
            BatchRefused: `all_or_nothing`, and an item is invalid or its lane is full; nothing was written.
            BatchConflict: the batch has other content, was cancelled, or is sealed and this would add to it; the
                message says whether changes were added before that.
            QueueFull: Redis's memory is almost full; the message says how many changes were accepted before.
            QueueUnavailable: Redis did not answer; repeat with the batch ID in the message.
        """
        fan_out = FanOut.from_arguments(
            changes, trader_id=trader_id, settings=settings, user_ids=user_ids, auto_copy=auto_copy, mode=mode
        )
        items = aiter_any(fan_out.items)
        batch_id = self._ids.next() if batch_id is None else check_new_batch_id(batch_id)
        options = self._submit_options(priority, batch_id=batch_id, content=fan_out.content)
        chunked = self._chunked_submission(fan_out.parser(batch_id), options, ttl_s, fan_out=fan_out)
        if dry_run:
            return preview(fan_out, [item async for item in items])
        if all_or_nothing:
            collected = [item async for item in items]
            checked = preview(fan_out, collected)
            if checked.refused:
                raise BatchRefused(checked.refused)
            items = aiter_any(collected)
        try:
            parts = await run_on_all(
                self._shards,
                lambda shard: batches.check_existing(shard.keys, batch_id, options),
                f"looking for batch {batch_id}",
            )
            exists = any(parts)
            if all_or_nothing and not exists and (refused := await self._full_lanes(checked.changes, options)):
                raise BatchRefused(refused)
            # A repeated fan-out waits for each reply: a chunk is written only if those before it had the same content.
            in_flight = 1 if exists else MAX_IN_FLIGHT
            async with aclosing(self._submit_chunks(chunked, items, in_flight)) as chunks:
                async for _ in chunks:
                    if on_chunk is not None:
                        on_chunk(FanOutReport.from_submission(batch_id, chunked))
            await run_on_all(  # in shards without a part of it too: none can begin there any more
                self._shards,
                lambda _: batches.seal(
                    batch_id,
                    options,
                    lane_full_count=chunked.lane_full_count,
                    result_ttl_ms=self._settings.result_ttl_ms,
                ),
                f"sealing batch {batch_id}",
            )
        except QueueUnavailable as exc:
            raise type(exc)(f"{exc}; repeat with batch_id={batch_id!r} to add what is missing") from exc
        return self._batch(batch_id, FanOutReport.from_submission(batch_id, chunked))

    async def _full_lanes(self, changes: Sequence[SettingsChange], options: SubmitOptions) -> list[Refusal]:
        return await find_refused(
            self._shards,
            [change.user_id for change in changes],
            lambda shard, places: refuse_full_lanes(shard.keys, [changes[place] for place in places], options),
            "looking for full lanes",
        )
