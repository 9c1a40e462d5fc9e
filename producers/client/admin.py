"""Steering the queue: pauses, users' own rates, a user's lanes. The part of the producer that adds nothing."""

from __future__ import annotations

from typing import TypeVar

from redis.asyncio import Redis

from producers.contract.progress import Progress
from producers.monitor.overview import read_overview
from producers.monitor.overview_types import Overview
from producers.queue import batches, pauses, users
from producers.queue.jobs import CancelReport
from producers.queue.pauses import Pause, Scope
from producers.queue.users import UserStatus
from producers.transport.plan import Plan
from producers.transport.runner import run_plan

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

    async def pause(
        self,
        *,
        user_id: str | None = None,
        trader_id: str | None = None,
        egress: str | None = None,
        everything: bool = False,
    ) -> bool:
        """Nothing of this is sent until it is resumed, except what is in flight. Give just one.

        Returns:
            Whether it was not paused before.

        Raises:
            InvalidId: what was given cannot be an ID.
        """
        scope = Scope.from_arguments(user_id=user_id, trader_id=trader_id, egress=egress, everything=everything)
        return await self._do(pauses.pause(scope), f"pausing {scope.field}")

    async def resume(
        self,
        *,
        user_id: str | None = None,
        trader_id: str | None = None,
        egress: str | None = None,
        everything: bool = False,
    ) -> bool:
        """Ends a pause; what it held back is due at once. Give just one.

        Returns:
            Whether it was paused.

        Raises:
            InvalidId: what was given cannot be an ID.
        """
        scope = Scope.from_arguments(user_id=user_id, trader_id=trader_id, egress=egress, everything=everything)
        return await self._do(pauses.resume(scope), f"resuming {scope.field}")

    async def paused(self) -> list[Pause]:
        """The pauses in force, oldest first."""
        return await self._do(pauses.list_pauses(), "asking for pauses")

    async def limit_user(self, user_id: str, rate_per_s: float | None) -> None:
        """Gives a user a rate of its own, which holds from the next claim on; None gives it the workers' again.

        Raises:
            InvalidId: this cannot be a user.
            InvalidLimit: this is no rate from 0.01 to 1000 requests a second; nothing was changed.
        """
        await self._do(users.limit_user(user_id, rate_per_s), f"limiting user {user_id}")

    async def cancel_user(self, user_id: str) -> CancelReport:
        """Takes back all that is queued of a user; what is in flight ends by its reply.

        Raises:
            InvalidId: this cannot be a user.
        """
        plan = users.cancel_user(user_id, result_ttl_ms=self._result_ttl_ms)
        return await self._do(plan, f"cancelling what is queued of user {user_id}")

    async def user_status(self, user_id: str) -> UserStatus:
        """Where a user is: its lanes, its rate, its pause and hold.

        Raises:
            InvalidId: this cannot be a user.
        """
        return await self._do(users.user_status(user_id), f"asking for user {user_id}")

    async def batches(self, limit: int = 100) -> list[Progress]:
        """The newest batches, newest first."""
        return await self._do(batches.list_newest(limit), "asking for batches")

    async def overview(self) -> Overview:
        """What the queue is doing: schedules, egresses, pauses, workers, the next lanes."""
        return await self._do(read_overview(), "asking for an overview")

    async def _do(self, plan: Plan[T], action: str) -> T:
        return await run_plan(self._redis, plan, action)
