"""Steering the queue, without await. See producers.client.admin for what the methods do and raise."""

from __future__ import annotations

from typing import TypeVar

from redis import Redis

from producers.contract.progress import Progress
from producers.monitor.overview import read_overview
from producers.monitor.overview_types import Overview
from producers.queue import batches, pauses, users
from producers.queue.jobs import CancelReport
from producers.queue.pauses import Pause, Scope
from producers.queue.users import UserStatus
from producers.sync.performing import run_plan
from producers.transport.plan import Plan

T = TypeVar("T")


class Steering:
    """What a producer can do besides adding changes. Every method raises QueueUnavailable if Redis does not answer; all
    are safe to repeat.
    """

    def __init__(self, redis: Redis, *, result_ttl_ms: int) -> None:
        """Steers a queue.

        Args:
            redis: where it is.
            result_ttl_ms: how long the results of cancelled changes are kept.
        """
        self._redis = redis
        self._result_ttl_ms = result_ttl_ms

    def pause(
        self,
        *,
        user_id: str | None = None,
        trader_id: str | None = None,
        egress: str | None = None,
        everything: bool = False,
    ) -> bool:
        """Nothing of this is sent until it is resumed, except what is in flight.

        Returns whether it was not paused before.
        """
        scope = Scope.from_arguments(user_id=user_id, trader_id=trader_id, egress=egress, everything=everything)
        return self._do(pauses.pause(scope), f"pausing {scope.field}")

    def resume(
        self,
        *,
        user_id: str | None = None,
        trader_id: str | None = None,
        egress: str | None = None,
        everything: bool = False,
    ) -> bool:
        """Ends a pause; what it held back is due at once. Give just one. Returns whether it was paused."""
        scope = Scope.from_arguments(user_id=user_id, trader_id=trader_id, egress=egress, everything=everything)
        return self._do(pauses.resume(scope), f"resuming {scope.field}")

    def paused(self) -> list[Pause]:
        """The pauses in force, oldest first."""
        return self._do(pauses.list_pauses(), "asking for pauses")

    def limit_user(self, user_id: str, rate_per_s: float | None) -> None:
        """Gives a user a rate of its own, which holds from the next claim on; None gives it the workers' again."""
        self._do(users.limit_user(user_id, rate_per_s), f"limiting user {user_id}")

    def cancel_user(self, user_id: str) -> CancelReport:
        """Takes back all that is queued of a user; what is in flight ends by its reply."""
        plan = users.cancel_user(user_id, result_ttl_ms=self._result_ttl_ms)
        return self._do(plan, f"cancelling what is queued of user {user_id}")

    def user_status(self, user_id: str) -> UserStatus:
        """Where a user is: its lanes, its rate, its pause and hold."""
        return self._do(users.user_status(user_id), f"asking for user {user_id}")

    def batches(self, limit: int = 100) -> list[Progress]:
        """The newest batches, newest first."""
        return self._do(batches.list_newest(limit), "asking for batches")

    def overview(self) -> Overview:
        """What the queue is doing: schedules, egresses, pauses, workers, the next lanes."""
        return self._do(read_overview(), "asking for an overview")

    def _do(self, plan: Plan[T], action: str) -> T:
        return run_plan(self._redis, plan, action)
