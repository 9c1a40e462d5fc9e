"""The command `python -m worker`: its options, its logging, and its exit status."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import gc
import logging
import os
import signal
import sys
from functools import partial
from types import TracebackType

from redis.exceptions import RedisError

from producers.errors import SettingsError
from producers.logs import log_to_stderr
from producers.open_files import raise_limit
from producers.service_manager import ServiceManager
from producers.settings import PREFIX, ProducerSettings, variable_name
from producers.tracing import NO_PROVIDER, open_tracing
from producers.transport.daemon_executor import DaemonExecutor
from producers.transport.explain import describe
from worker.errors import CredentialsError
from worker.logs import Event, log_fields
from worker.process.monitoring import check_monitoring, for_process
from worker.process.supervisor import BAD_START, UNDER_PARENT, run_processes
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

GATEWAY_PREFIX = f"{PREFIX}GATEWAY_"
"""Variables of the gateway, which may share an environment file with the worker."""

REPLACED = {
    f"{PREFIX}LEASE_S": f"sessions have replaced leases, and {variable_name('session_ttl_s')} sets their lifetime"
}
"""Variables of earlier versions, and what is there instead."""

OTHER_FILES = 256
"""Open files besides connections to the exchange and to Redis: those to the metrics, sources of API keys, the
interpreter's own."""

MAX_YOUNG_OBJECTS = 10_000
"""Objects that were made and not freed since the last collection of garbage, until there is another."""

LAST_SPANS_S = 3.0
"""How long a worker that ends waits for its last spans to be sent."""

try:
    from worker.process.lane_worker import LaneWorker
except ModuleNotFoundError as missing:
    sys.exit(f"worker: {missing}; install this package with its extra [worker]: pip install '.[worker]' in a checkout")


def main(argv: list[str] | None = None) -> int:
    """Run one worker process, or several. Return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m worker", description="Drains lanes of copy-trade settings changes."
    )
    parser.add_argument("--burst", action="store_true", help="stop when nothing is left to send")
    parser.add_argument("--processes", type=_count, default=1, metavar="N", help="number of worker processes (1)")
    parser.add_argument(UNDER_PARENT, type=int, metavar="INDEX", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    try:
        settings = WorkerSettings.from_env()
        ProducerSettings.from_env()
        check_monitoring(settings, options.processes)
        log_to_stderr(settings.log_level.upper(), settings.log_format.lower())
        sys.excepthook = _log_crash
        _warn_of_unknown_variables()
        if options.processes > 1:
            arguments = ["--burst"] if options.burst else []
            running = run_processes(
                options.processes, arguments, restart=not options.burst, stop_timeout_s=settings.stop_timeout_s
            )
            return asyncio.run(running)
        return _run(settings, burst=options.burst, index=options.under_parent)
    except SettingsError as exc:
        _print_error(str(exc))
        return BAD_START
    except CredentialsError as exc:
        _print_error(f"{variable_name('credentials')}: {exc}")
        return BAD_START
    except (RedisError, OSError) as exc:
        _print_error(f"{variable_name('redis_dsn')}: {describe(exc)}")
        return 1


def _print_error(text: str) -> None:
    """Write a line in one piece. Unbuffered, `print` writes its end apart, and another process may write in between."""
    sys.stderr.write(f"worker: {text}\n")


def _count(text: str) -> int:
    """Return the value of --processes."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more; got {text!r}")
    return int(text)


def _run(settings: WorkerSettings, *, burst: bool, index: int | None) -> int:
    """Run a worker process; `index` is its place among those of its parent, None if it has none."""
    _raise_limit_of_files(settings)
    loop = asyncio.new_event_loop()
    loop.set_default_executor(DaemonExecutor())  # a resolver that hangs must not hold up the end of the process
    asyncio.set_event_loop(loop)  # arq's Worker uses the current loop
    worker = LaneWorker(for_process(settings, index or 0), burst=burst)
    tracing = open_tracing(settings)
    if tracing.lacks_provider:
        log.warning("%s", NO_PROVIDER, extra=log_fields(Event.NO_TRACER_PROVIDER))
    manager = ServiceManager.from_env()
    worker.on_ready, worker.on_stopping = partial(_ready, manager), manager.stopping
    manager.keep_alive(loop)
    if index is not None:
        loop.add_reader(sys.stdin, _stop_without_parent, loop)
    try:
        worker.run()
    finally:
        if not tracing.end(LAST_SPANS_S):
            text = "the last spans were not sent within %g s, and are lost: the tracing backend does not answer"
            log.warning(text, LAST_SPANS_S, extra=log_fields(Event.SPANS_LOST))
    return 0


def _raise_limit_of_files(settings: WorkerSettings) -> None:
    needed = settings.max_jobs + settings.redis_connections + OTHER_FILES
    allowed = raise_limit(needed)
    if allowed < needed:
        text = "the limit of open files, %d, is below the %d that this process may need: raise it (ulimit -n)"
        log.warning(text, allowed, needed, extra=log_fields(Event.FEW_FILES))


def _ready(manager: ServiceManager) -> None:
    """Say that the worker is ready, after making garbage collection rarer.

    What was loaded so far is left out of it: a busy worker is 8 % faster (`python -m ops.bench metrics`, 2026-11-29).
    The hundreds of attempts that are under way are no garbage either. To collect after 10,000 new objects instead of
    700, as in Python 3.11, makes the worker 9 % faster again (`python -m ops.bench peers`, load `drain`, 2026-11-30).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(MAX_YOUNG_OBJECTS, *gc.get_threshold()[1:])
    manager.ready()


def _stop_without_parent(loop: asyncio.AbstractEventLoop) -> None:
    """Stop when standard input ends: the system closes it when the parent ends, even by SIGKILL."""
    if os.read(sys.stdin.fileno(), 1024):
        return  # keyboard input
    loop.remove_reader(sys.stdin)
    log.warning("the parent process has ended; stopping", extra=log_fields(Event.PARENT_GONE))
    signal.raise_signal(signal.SIGTERM)


def _log_crash(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    log.critical(
        "the process ends because of an unexpected exception",
        exc_info=(kind, exc, trace),
        extra=log_fields(Event.CRASHED),
    )


def _warn_of_unknown_variables() -> None:
    """Warn of COPYTRADE_* variables that are not settings, such as misspelt ones, or those of earlier versions."""
    known = {variable_name(name) for side in (WorkerSettings, ProducerSettings) for name in side.__struct_fields__}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and not name.startswith(GATEWAY_PREFIX) and name not in known:
            extra = log_fields(Event.UNKNOWN_VARIABLE, variable=name)
            if name in REPLACED:
                log.warning("%s is ignored: %s", name, REPLACED[name], extra=extra)
            else:
                similar = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
                hint = f"; did you mean {similar[0]}?" if similar else ""
                log.warning("%s is not a setting of this version and has no effect%s", name, hint, extra=extra)
