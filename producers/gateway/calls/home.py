"""The home of a queue, which has the access keys, and may be away while shards are not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from producers.errors import QueueUnavailable
from producers.gateway.calls.events import Event
from producers.logs import log_fields
from producers.transport.redis_errors import is_away

T = TypeVar("T")

PATIENCE_S = 1.0
"""How long the home has for an answer that the gateway can do without."""

PAUSE_S = 1.0
"""How long a home that is away is not asked again."""

log = logging.getLogger(__name__)


class HomeAway(Exception):
    """The home does not answer now."""


class Home:
    """Asks the home what the gateway can do without. While it is away, one call at a time waits for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._is_away = self._is_asked = False
        self._ask_from_s = 0.0

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return the home's answer.

        Raises:
            HomeAway: it does not answer, or a call has found so within the last second.
            ProducerError: it refuses.
        """
        if self._is_away and (self._is_asked or self._clock() < self._ask_from_s):
            raise HomeAway
        self._is_asked = True
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await question()
        except QueueUnavailable as exc:
            if isinstance(exc.__cause__, Exception) and not is_away(exc.__cause__):
                raise
            self._note_away(str(exc))
            raise HomeAway from exc
        except TimeoutError as exc:
            self._note_away(f"no answer within {PATIENCE_S:g} s")
            raise HomeAway from exc
        finally:
            self._is_asked = False
        if self._is_away:
            log.info("the home of the queue answers again", extra=log_fields(Event.REDIS_AWAY))
            self._is_away = False
        return answer

    def _note_away(self, why: str) -> None:
        self._ask_from_s = self._clock() + PAUSE_S
        if self._is_away:
            return
        self._is_away = True
        log.warning(
            "the home of the queue is away: access keys that were read lately are served without it (%s)",
            why,
            extra=log_fields(Event.REDIS_AWAY),
        )
