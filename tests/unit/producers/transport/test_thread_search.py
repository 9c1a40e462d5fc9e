"""One search for several threads."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from producers.transport.connections import NotConnected
from producers.transport.thread_search import SharedThreadSearch

WITHIN_S = 20


class Search:
    """A search that ends when it is told to."""

    def __init__(self, end: BaseException | None = None) -> None:
        self.end = end
        self.count = 0
        self.began, self.may_end = threading.Event(), threading.Event()

    def __call__(self) -> int:
        """Return how many searches there were, or fail."""
        self.count += 1
        self.began.set()
        assert self.may_end.wait(WITHIN_S)
        if self.end is not None:
            raise self.end
        return self.count


def _joined(shared: SharedThreadSearch, search: Search) -> list[BaseException | int]:
    """Return what three threads get of one search: the first begins it, and the others come meanwhile."""

    def ask() -> BaseException | int:
        try:
            return int(shared.join(search))
        except BaseException as exc:  # noqa: BLE001 - it is what is looked at
            return exc

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(ask)
        assert search.began.wait(WITHIN_S)
        under_way = shared._under_way
        assert under_way is not None
        others = [threads.submit(ask) for _ in range(2)]
        while len(under_way._condition._waiters) < 2:  # type: ignore[attr-defined]  # until both wait
            pass
        search.may_end.set()
        return [thread.result(WITHIN_S) for thread in (first, *others)]


def test_threads_share_a_search_and_the_next_one_is_new() -> None:
    """Who comes after its end searches again."""
    shared, search = SharedThreadSearch(), Search()

    assert _joined(shared, search) == [1, 1, 1]
    assert shared.join(search) == 2


def test_threads_share_the_failure_of_a_search() -> None:
    """Else ten callers of servers that hang would fail one after the other."""
    failure = NotConnected("nobody answered")
    shared, search = SharedThreadSearch(), Search(failure)

    assert _joined(shared, search) == [failure] * 3
    assert search.count == 1


def test_an_interrupted_thread_interrupts_no_other() -> None:
    """Ctrl-C ends the call of the main thread; others get an error that may be retried."""
    first, *others = _joined(SharedThreadSearch(), Search(KeyboardInterrupt()))

    assert isinstance(first, KeyboardInterrupt)
    assert [type(other) for other in others] == [NotConnected, NotConnected]


def test_a_forked_process_does_not_wait_for_a_search_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that searched, and may have held the lock, is not in the child."""
    shared, search = SharedThreadSearch(), Search()
    with ThreadPoolExecutor(1) as threads:
        searching = threads.submit(shared.join, search)
        assert search.began.wait(WITHIN_S)
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: -1)
            shared._lock.acquire()

            assert shared.join(lambda: "found") == "found"
        search.may_end.set()
        assert searching.result(WITHIN_S) == 1
