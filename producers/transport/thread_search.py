"""A search for the primary, or for the owner of a slot, that threads share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from producers.transport.connections import NotConnected


class SharedThreadSearch:
    """A search that threads share, its failure too: ten callers of hanging servers wait for one search, not for ten."""

    _under_way: Future[Any] | None

    def __init__(self) -> None:
        self._begin()

    def join(self, search: Callable[[], Any]) -> Any:
        """Return what the search under way finds; begin one if there is none.

        Raises:
            NotConnected: the thread that searched was interrupted. Else what the search raises.
        """
        if self._pid != os.getpid():
            self._begin()  # the search under way, and the lock, are of a thread that this process does not have
        with self._lock:
            joined = self._under_way
            if joined is None:
                own = self._under_way = Future[Any]()
        if joined is not None:
            return joined.result()
        try:
            own.set_result(search())
        except Exception as exc:
            own.set_exception(exc)
            raise
        except BaseException:  # such as KeyboardInterrupt
            own.set_exception(NotConnected("the search for a server was interrupted"))
            raise
        finally:
            self._under_way = None
        return own.result()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._under_way = None
