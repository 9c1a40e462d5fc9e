"""The end of a tracer provider, which waits no longer than it is told to."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable


def shut_down(shutdown: Callable[[], object], limit_s: float) -> bool:
    """Let a provider send the spans that it has, and shut it down. Return whether it was done in time.

    OpenTelemetry's SDK does the same when the process ends, and waits there for an exporter that hangs: for 30 s, and
    as long as the exporter's own shutdown takes. If the time is up, that is left out.

    Args:
        shutdown: the provider's method.
        limit_s: how long to wait.
    """
    ending = threading.Thread(target=shutdown, name="copytrade tracing end", daemon=True)
    ending.start()
    ending.join(limit_s)
    if ending.is_alive():
        atexit.unregister(shutdown)
        return False
    return True
