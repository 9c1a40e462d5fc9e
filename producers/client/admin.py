"""Operating the queue: pauses, single users, batches, overviews."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from producers.client.access_keys import AccessKeys
from producers.client.batch_list import list_newest
from producers.client.shard import Shard, merge_all, run_on_all, shard_for
from producers.client.users import UserAdmin
from producers.contract.progress import Progress
from producers.contract.stored_values import Listing
from producers.monitor.merged_overview import merge_overviews
from producers.monitor.overview import read_overview
from producers.monitor.overview_types import Overview
from producers.queue import migration, pauses
from producers.queue.migration import MigrationReport
from producers.queue.pauses import Pause, Scope
from producers.queue.trader_status import TraderStatus, merge_trader_status, trader_status
from producers.settings import ProducerSettings
from producers.transport.runner import execute, translate_errors


class QueueAdmin(UserAdmin):
    """The methods of `Producer` that operate the queue.

    Each raises QueueUnavailable if Redis does not answer or refuses a command, and is safe to repeat. With several
    shards of which some do not answer, that is a ShardsUnavailable: a pause holds in the others, and it has what
    `paused`, `overview` and `trader_status` return for them.

    Attributes:
        access_keys: the access keys of the gateway.
    """

    def __init__(self, redis: Redis, shards: Sequence[Shard], settings: ProducerSettings) -> None:
        """Operate a queue of these shards, whose home is in `redis`."""
        super().__init__(redis, shards, settings)
        self.access_keys = AccessKeys(redis)

    async def pause(
        self,
        *,
        user_id: str | None = None,
        trader_id: str | None = None,
        egress: str | None = None,
        everything: bool = False,
    ) -> bool:
        """Stop sending the changes of a user, of a trader, through an egress, or all of them, until `resume`.

        Changes can still be enqueued; requests in flight finish. Pass exactly one argument.

        Returns:
            True if it was not paused before.

        Raises:
            InvalidId: the argument is not a valid ID.
            TypeError: there is not exactly one argument.
        """
        scope = Scope.from_arguments(user_id=user_id, trader_id=trader_id, egress=egress, everything=everything)
        shards = self._shards_of(scope)
        return any(await run_on_all(shards, lambda shard: pauses.pause(shard.keys, scope), f"pausing {scope.field}"))

    async def resume(
        self,
        *,
        user_id: str | None = None,
        trader_id: str | None = None,
        egress: str | None = None,
        everything: bool = False,
    ) -> bool:
        """End a pause. Its lanes are due at once, or when their back-off ends. Pass exactly one argument.

        Resuming a user also sends its changes again if they were stopped because the exchange rejected its API keys.

        Returns:
            True if it was paused or stopped.

        Raises:
            InvalidId: the argument is not a valid ID.
            TypeError: there is not exactly one argument.
        """
        scope = Scope.from_arguments(user_id=user_id, trader_id=trader_id, egress=egress, everything=everything)
        shards = self._shards_of(scope)
        return any(await run_on_all(shards, lambda shard: pauses.resume(shard.keys, scope), f"resuming {scope.field}"))

    async def paused(self) -> Listing[Pause]:
        """Return the pauses in force, oldest first."""
        return await merge_all(
            self._shards, lambda shard: pauses.list_pauses(shard.keys), pauses.merge_pauses, "listing pauses"
        )

    async def trader_status(self, trader_id: str) -> TraderStatus:
        """Return since when a trader is paused, and how many lanes that holds back.

        Raises:
            InvalidId: `trader_id` is not a valid ID.
        """
        action = f"reading trader {trader_id}"
        return await merge_all(
            self._shards, lambda shard: trader_status(shard.keys, trader_id), merge_trader_status, action
        )

    async def batches(self, limit: int = 100, *, skip: int = 0, prefix: str = "") -> Listing[Progress]:
        """Return the progress of up to `limit` batches, newest first, after the first `skip`; at most 10,000.

        With a prefix, only batches whose IDs begin with it count, of the newest 10,000 in the queue.
        """
        return await list_newest(self._shards, limit, skip, prefix)

    async def migrate(self, *, dry_run: bool = False) -> MigrationReport:
        """Move a queue of an earlier version to the layout of this one, while no worker and no producer runs.

        It may be interrupted and run again.

        Args:
            dry_run: only return what there is to move.

        Raises:
            MigrationRefused: workers of the earlier version are alive, a later one wrote the queue, or it has another
                number of shards.
        """
        with translate_errors("moving the queue to this version's layout"):
            await execute(self._redis, migration.check_movable(self._keys))
            return MigrationReport.merged(
                [
                    await execute(shard.redis, (migration.survey if dry_run else migration.migrate)(shard.keys))
                    for shard in self._shards
                ]
            )

    async def overview(self) -> Overview:
        """Return the state of the whole queue at one moment: schedules, egresses, pauses, workers, the next lanes."""
        return await merge_all(self._shards, lambda _: read_overview(), merge_overviews, "reading the overview")

    def _shards_of(self, scope: Scope) -> Sequence[Shard]:
        """Return the shards that a pause concerns."""
        return [shard_for(self._shards, scope.name)] if scope.kind == "user" else self._shards
