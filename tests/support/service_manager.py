"""A service manager for tests: the socket that a program reports to, as systemd's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

WITHIN_S = 60.0


class Notifications:
    """What a program reported, in order."""

    def __init__(self, path: Path) -> None:
        self.environ = {"NOTIFY_SOCKET": str(path)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))

    async def until(self, message: str) -> list[str]:
        """Wait for a message; return all that came before it, since the last call."""
        before: list[str] = []
        async with asyncio.timeout(WITHIN_S):
            while (received := await self._receive()) != message:
                before.append(received)
        return before

    async def _receive(self) -> str:
        return (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode()

    def close(self) -> None:
        """Take no more reports."""
        self._socket.close()


@asynccontextmanager
async def notifications(folder: Path) -> AsyncIterator[Notifications]:
    """Listen for reports on a socket in a folder."""
    listening = Notifications(folder / "notify")
    try:
        yield listening
    finally:
        listening.close()
