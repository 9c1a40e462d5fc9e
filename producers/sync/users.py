# Generated from producers/client/users.py by `python -m ops.unasync`: change that file, not this one.
"""Operating single users: their rates, pins and changes, and all that is kept of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from redis import Redis

from producers.queue import users
from producers.queue.cancel import CancelReport
from producers.queue.forget import ForgetReport, forget_user
from producers.queue.pins import Pin, PinPage, check_pins, list_pins, pin_users
from producers.queue.user_status import UserStatus, user_status
from producers.settings import ProducerSettings
from producers.sync.shard import Shard, run_on_all, shard_for
from producers.sync.transport import run_plan
from producers.transport.clients import keyspace_of


class UserAdmin:
    """The methods of `Producer` that operate users: each in the shard that holds the user."""

    def __init__(self, redis: Redis, shards: Sequence[Shard], settings: ProducerSettings) -> None:
        """Operate users of these shards, of a queue whose home is in `redis`."""
        self._redis = redis
        self._keys = keyspace_of(redis)
        self._shards = shards
        self._settings = settings

    def limit_user(self, user_id: str, rate_per_s: float | None) -> None:
        """Set a user's own rate, from the next claim on.

        Args:
            user_id: the user.
            rate_per_s: requests a second, 0.01 to 1000; None restores the workers' `COPYTRADE_USER_RATE_PER_S`.

        Raises:
            InvalidId: `user_id` is not a valid ID.
            InvalidLimit: the rate is out of bounds; nothing was changed.
        """
        shard = shard_for(self._shards, user_id)
        run_plan(shard.redis, users.limit_user(shard.keys, user_id, rate_per_s), f"limiting user {user_id}")

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
        check_pins(pins)
        parts: list[dict[str, str | None]] = [{} for _ in self._shards]
        for user_id, egress in pins.items():
            parts[shard_for(self._shards, user_id).number][user_id] = egress
        used = [shard for shard in self._shards if parts[shard.number]]
        action = f"pinning {len(pins)} users to egresses"
        return sum(run_on_all(used, lambda shard: pin_users(parts[shard.number]), action))

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
        position, number = divmod(cursor, len(self._shards))
        shard = self._shards[number]
        page = run_plan(shard.redis, list_pins(shard.keys, position), "listing the pins")
        return page.of_shard(number, len(self._shards))

    def cancel_user(self, user_id: str) -> CancelReport:
        """Cancel all queued changes of a user, except those in flight.

        Returns:
            How many changes were cancelled, and how many are in flight.

        Raises:
            InvalidId: `user_id` is not a valid ID.
        """
        shard = shard_for(self._shards, user_id)
        plan = users.cancel_user(shard.keys, user_id, result_ttl_ms=self._settings.result_ttl_ms)
        return run_plan(shard.redis, plan, f"cancelling the queued changes of user {user_id}")

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
        shard, ttl_ms = shard_for(self._shards, user_id), self._settings.result_ttl_ms
        action = f"deleting all that is kept of user {user_id}"
        report = run_plan(shard.redis, forget_user(shard.keys, user_id, result_ttl_ms=ttl_ms), action)
        if shard.redis is self._redis or not report.complete:
            return report
        at_home = run_plan(self._redis, forget_user(self._keys, user_id, result_ttl_ms=ttl_ms), action)
        return report.merged_with(at_home)

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
        shard = shard_for(self._shards, user_id)
        plan = user_status(shard.keys, user_id, trader_id=trader_id, max_lanes=max_lanes, changes=changes)
        return run_plan(shard.redis, plan, f"reading the status of user {user_id}")
