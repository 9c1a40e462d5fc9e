"""Threads for blocking calls that nobody waits for at the end of the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonExecutor(ThreadPoolExecutor):
    """An executor for event loops that runs each call in a daemon thread of its own.

    Event loops resolve host names in their default executor. A resolver that hangs cannot be cancelled, and the threads
    of `ThreadPoolExecutor` are joined when the loop is closed and when the interpreter exits: the process would hang
    with it. It is a `ThreadPoolExecutor` because event loops accept no other, and has no threads of that class.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call in a new thread; return its future."""
        future: Future[T] = Future()
        call = partial(fn, *args, **kwargs)
        threading.Thread(target=_run, args=(future, call), daemon=True, name="copytrade blocking call").start()
        return future


def _run(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as exc:  # noqa: BLE001 - whoever waits for the future gets it
        future.set_exception(exc)
    else:
        future.set_result(result)
