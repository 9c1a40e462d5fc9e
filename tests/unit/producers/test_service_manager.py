"""What is sent to a service manager, and to whom."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from unittest.mock import Mock

import pytest

from producers.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """A manager's socket, in the file system or in Linux's abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify") if request.param == "path" else "")
        server.setblocking(False)
        yield server


def address(listening: socket.socket) -> str:
    """Return the address as NOTIFY_SOCKET has it."""
    name = listening.getsockname()
    return name if isinstance(name, str) else "@" + name[1:].decode()


def test_readiness_and_the_stop_are_reported(listening: socket.socket) -> None:
    """One datagram each."""
    manager = ServiceManager.from_env({"NOTIFY_SOCKET": address(listening)})

    manager.ready()
    manager.stopping()

    assert [listening.recv(100) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]


def test_a_running_event_loop_gives_signs_of_life_twice_in_the_managers_time(listening: socket.socket) -> None:
    """Each one is sent by a timer of the loop, so that a blocked loop sends none."""
    manager = ServiceManager.from_env({"NOTIFY_SOCKET": address(listening), "WATCHDOG_USEC": "30000000"})
    loop = Mock(spec=asyncio.AbstractEventLoop)

    manager.keep_alive(loop)
    delay_s, callback, *arguments = loop.call_later.call_args.args
    callback(*arguments)

    assert delay_s == 15
    assert [listening.recv(100) for _ in range(2)] == [b"WATCHDOG=1"] * 2


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
    ],
)
def test_who_is_not_watched_sends_no_signs_of_life(listening: socket.socket, environ: dict[str, str]) -> None:
    """The variables are another process's, or there is nothing usable."""
    manager = ServiceManager.from_env({"NOTIFY_SOCKET": address(listening), **environ})
    loop = Mock(spec=asyncio.AbstractEventLoop)

    manager.keep_alive(loop)

    loop.call_later.assert_not_called()
    with pytest.raises(BlockingIOError):
        listening.recv(100)


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}], ids=["none", "gone"])
def test_a_missing_manager_is_no_error(environ: dict[str, str]) -> None:
    """Programs run without one, too."""
    manager = ServiceManager.from_env({**environ, "WATCHDOG_USEC": "30000000"})

    manager.ready()
    manager.keep_alive(Mock(spec=asyncio.AbstractEventLoop))
    manager.stopping()


def test_a_manager_that_does_not_read_does_not_hold_the_process_up(listening: socket.socket) -> None:
    """Once its queue is full, messages to it are dropped after a tenth of a second."""
    manager = ServiceManager(address(listening))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling:
        filling.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                filling.sendto(b"full", listening.getsockname())

    manager.ready()

    assert listening.recv(100) == b"full"
