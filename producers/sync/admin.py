# Generated from producers/client/admin.py by `python -m ops.unasync`: change that file, not this one.
"""Operating the queue: pauses, rates of single users, cancelling a user's changes, overviews."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from redis import Redis

from producers.contract.progress import Progress
from producers.contract.stored_values import Listing
from producers.monitor.overview import read_overview
from producers.monitor.overview_types import Overview
from producers.queue import batches, migration, pauses, users
from producers.queue.cancel import CancelReport
from producers.queue.forget import ForgetReport, forget_user
from producers.queue.migration import MigrationReport
from producers.queue.pauses import Pause, Scope
from producers.queue.pins import Pin, PinPage, list_pins, pin_users
from producers.queue.trader_status import TraderStatus, trader_status
from producers.queue.user_status import UserStatus, user_status
from producers.settings import ProducerSettings
from producers.sync.access_keys import AccessKeys
from producers.sync.transport import execute, run_plan, translate_errors
from producers.transport.clients import keyspace_of


class QueueAdmin:
    """The methods of `Producer` that operate the queue.

    Each raises QueueUnavailable if Redis does not answer or refuses a command, and is safe to repeat.

    Attributes:
        access_keys: the access keys of the gateway.
    """

    def __init__(self, redis: Redis, settings: ProducerSettings) -> None:
        self._redis = redis
        self._keys = keyspace_of(redis)
        self._settings = settings
        self.access_keys = AccessKeys(redis)

    def pause(
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
        return run_plan(self._redis, pauses.pause(self._keys, scope), f"pausing {scope.field}")

    def resume(
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
        return run_plan(self._redis, pauses.resume(self._keys, scope), f"resuming {scope.field}")

    def paused(self) -> Listing[Pause]:
        """Return the pauses in force, oldest first."""
        return run_plan(self._redis, pauses.list_pauses(self._keys), "listing pauses")

    def trader_status(self, trader_id: str) -> TraderStatus:
        """Return since when a trader is paused, and how many lanes that holds back.

        Raises:
            InvalidId: `trader_id` is not a valid ID.
        """
        return run_plan(self._redis, trader_status(self._keys, trader_id), f"reading trader {trader_id}")

    def limit_user(self, user_id: str, rate_per_s: float | None) -> None:
        """Set a user's own rate, from the next claim on.

        Args:
            user_id: the user.
            rate_per_s: requests a second, 0.01 to 1000; None restores the workers' `COPYTRADE_USER_RATE_PER_S`.

        Raises:
            InvalidId: `user_id` is not a valid ID.
            InvalidLimit: the rate is out of bounds; nothing was changed.
        """
        run_plan(self._redis, users.limit_user(self._keys, user_id, rate_per_s), f"limiting user {user_id}")

    def pin_user(self, user_id: str, egress: str) -> None:
        """Pin a user to an egress: only workers with this `COPYTRADE_EGRESS` send its requests, from the next claim on.

        Without such a worker its changes wait. What was claimed before still leaves by the egress of its worker.

        Raises:
            InvalidId: `user_id` or `egress` is not a valid ID; nothing was changed.
        """
        self.pin_users({user_id: egress})

    def unpin_user(self, user_id: str) -> None:
        """Let the workers of any egress send the requests of a user.

        Raises:
            InvalidId: `user_id` is not a valid ID.
        """
        self.pin_users({user_id: None})

    def pin_users(self, pins: Mapping[str, str | None]) -> int:
        """Pin each user to its egress, or unpin it (None), in chunks of 100.

        Returns:
            How many pins have changed. If the reply to a chunk was lost, its users are not counted.

        Raises:
            InvalidId: a user ID or an egress is not a valid ID; nothing was changed.
            QueueUnavailable: Redis did not answer. Some users may be pinned already; pin all of them again.
        """
        return run_plan(self._redis, pin_users(pins), f"pinning {len(pins)} users to egresses")

    def pins(self) -> Iterator[Pin]:
        """Iterate over the pins, in no order. A pin that changes meanwhile may be missing or there twice."""
        cursor, is_first = 0, True
        while cursor or is_first:
            page = self.pins_page(cursor)
            cursor, is_first = page.cursor, False
            for pin in page.pins:
                yield pin

    def pins_page(self, cursor: int = 0) -> PinPage:
        """Return some of the pins, about 1,000, for a page of them: the first, or those that `PinPage.cursor` names."""
        return run_plan(self._redis, list_pins(self._keys, cursor), "listing the pins")

    def cancel_user(self, user_id: str) -> CancelReport:
        """Cancel all queued changes of a user, except those in flight.

        Returns:
            How many changes were cancelled, and how many are in flight.

        Raises:
            InvalidId: `user_id` is not a valid ID.
        """
        plan = users.cancel_user(self._keys, user_id, result_ttl_ms=self._settings.result_ttl_ms)
        return run_plan(self._redis, plan, f"cancelling the queued changes of user {user_id}")

    def forget_user(self, user_id: str) -> ForgetReport:
        """Delete all that Redis keeps of a user, API keys included, after its queued changes were cancelled.

        While a change of the user is in flight, only queued ones are cancelled: repeat the call when it has ended. What
        the report calls `access_keys` stays, and so do logs, backups and a file of credentials, which this cannot
        reach. All results are read, since none is indexed by user. The user of Redis needs SCAN and the key of the
        credentials: `copytrade-operator` of ops/redis.acl.

        Returns:
            What was deleted, and what was not.

        Raises:
            InvalidId: `user_id` is not a valid ID.
        """
        plan = forget_user(self._keys, user_id, result_ttl_ms=self._settings.result_ttl_ms)
        return run_plan(self._redis, plan, f"deleting all that is kept of user {user_id}")

    def user_status(
        self, user_id: str, *, trader_id: str | None = None, max_lanes: int | None = None, changes: int = 0
    ) -> UserStatus:
        """Return a user's lanes, own rate, use of the rate, pause and hold.

        Args:
            user_id: the user.
            trader_id: return only the lane of this trader.
            max_lanes: how many lanes to return, 1 to 10,000: those in flight, then those that are due first; None for
                all.
            changes: of how many changes of each lane to return the job IDs (`LaneStatus.jobs`); at most 1,000.

        Raises:
            InvalidId: `user_id` or `trader_id` is not a valid ID.
        """
        plan = user_status(self._keys, user_id, trader_id=trader_id, max_lanes=max_lanes, changes=changes)
        return run_plan(self._redis, plan, f"reading the status of user {user_id}")

    def batches(self, limit: int = 100, *, skip: int = 0, prefix: str = "") -> Listing[Progress]:
        """Return the progress of up to `limit` batches, newest first, after the first `skip`; at most 10,000.

        With a prefix, only batches whose IDs begin with it count, of the newest 10,000 in the queue.
        """
        return run_plan(self._redis, batches.list_newest(self._keys, limit, skip, prefix), "listing batches")

    def migrate(self, *, dry_run: bool = False) -> MigrationReport:
        """Move a queue of an earlier version to the layout of this one, while no worker and no producer runs.

        It may be interrupted and run again.

        Args:
            dry_run: only return what there is to move.

        Raises:
            MigrationRefused: workers of the earlier version are alive, or a later one wrote the queue.
        """
        plan = migration.survey(self._keys) if dry_run else migration.migrate(self._keys)
        with translate_errors("moving the queue to this version's layout"):
            return execute(self._redis, plan)

    def overview(self) -> Overview:
        """Return the state of the whole queue at one moment: schedules, egresses, pauses, workers, the next lanes."""
        return run_plan(self._redis, read_overview(), "reading the overview")
