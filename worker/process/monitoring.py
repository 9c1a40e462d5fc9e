"""Whether and where a worker process serves its metrics and its health, from the settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

import msgspec

from producers.errors import SettingsError
from producers.settings import variable_name
from producers.transport.cancellation import cancel_and_wait
from worker.clock import Clock
from worker.metrics import WorkerMetrics
from worker.process.health import Health, LoopLag
from worker.queue.redis_retry import RedisAvailability
from worker.settings import MAX_PORT, WorkerSettings

PORT = variable_name("metrics_port")


class Monitoring:
    """The metrics and the health of a worker process.

    Attributes:
        metrics: what it counts, whether or not that is served.
        availability: whether Redis serves it.
        health: whether it is ready.
    """

    def __init__(self, settings: WorkerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.metrics = WorkerMetrics()
        self.availability = RedisAvailability(clock, self.metrics)
        self._lag = LoopLag(clock, self.metrics)
        self.health = Health(self.availability, self._lag)
        self.metrics.shards_unserved.watch(self.health.unserved_count)

    @asynccontextmanager
    async def serve(self, version: str, worker: str) -> AsyncIterator[None]:
        """Serve metrics and health meanwhile, if the settings name a port.

        Args:
            version: of this project.
            worker: name of this process.
        """
        self.metrics.worker_info.watch(lambda: 1, version, self._settings.egress, worker)
        if self._settings.metrics_port is None:
            yield
            return
        from worker.process.http import serve  # noqa: PLC0415 - it needs the extra [metrics], see `check_monitoring`

        measuring = asyncio.create_task(self._lag.run(), name="copytrade loop lag")
        try:
            async with serve(
                self._settings.metrics_host,
                self._settings.metrics_port,
                metrics=self.metrics,
                unready_reasons=self.health.unready_reasons,
                degraded=self.health.degraded,
                clock=self._clock,
            ):
                yield
        finally:
            await cancel_and_wait(measuring)


def check_monitoring(settings: WorkerSettings, processes: int) -> None:
    """Check that this many processes can serve their metrics, if the settings say so.

    Raises:
        SettingsError: the extra is not installed, or there are not as many ports.
    """
    if settings.metrics_port is None:
        return
    if find_spec("prometheus_client") is None:
        raise SettingsError(
            f"{PORT}: serving metrics needs the extra [metrics]: pip install '.[worker,metrics]' in a checkout;"
            f" or unset {PORT}"
        )
    if settings.metrics_port + processes - 1 > MAX_PORT:
        raise SettingsError(
            f"{PORT}: each process has a port of its own, from this one up; {settings.metrics_port} leaves too few for"
            f" {processes} processes"
        )


def for_process(settings: WorkerSettings, index: int) -> WorkerSettings:
    """Return the settings of one of several processes, by its index from 0: each has a port of its own."""
    if settings.metrics_port is None:
        return settings
    return msgspec.structs.replace(settings, metrics_port=settings.metrics_port + index)
