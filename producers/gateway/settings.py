"""The settings of the gateway: a producer's, and its own limits."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from producers.settings import Count, Positive, ProducerSettings, Text, check_log_settings


class GatewaySettings(ProducerSettings, frozen=True, kw_only=True):
    """The settings of a gateway process.

    Attributes:
        gateway_auth: whether every call needs an access key. Without, calls of its own machine only are served.
        gateway_read_only: whether it refuses every call that changes something.
        gateway_title: what the console calls itself on every page, to tell one queue from another.
        gateway_hosts: the values of the header Host that are served, commas between; empty for any, without keys
            for those of this machine.
        gateway_body_bytes: maximum size of a body of JSON.
        gateway_rows_bytes: maximum size of a body of rows, NDJSON or CSV; it is written to a temporary file.
        gateway_rows: maximum number of items in a body; empty rows count.
        gateway_connections: maximum number of calls at a time, event streams included; 503 beyond it.
        gateway_wait_s: longest wait for a result.
        gateway_streams: maximum number of event streams of a process.
        log_level: DEBUG, INFO, WARNING or ERROR.
        log_format: console (text) or json (one object a line).
    """

    gateway_auth: bool = True
    gateway_read_only: bool = False
    gateway_title: Text = "Copy-trade settings"
    gateway_hosts: str = ""
    gateway_body_bytes: Count = 4_194_304
    gateway_rows_bytes: Count = 268_435_456
    gateway_rows: Count = 1_000_000
    gateway_connections: Count = 5_000
    gateway_wait_s: Positive = 60.0
    gateway_streams: Count = 2_000
    log_level: Text = "INFO"
    log_format: Text = "console"

    def __post_init__(self) -> None:
        check_log_settings(self.log_level, self.log_format)

    @property
    def hosts(self) -> list[str]:
        """The values of the header Host that are served; empty for any."""
        return [host.strip() for host in self.gateway_hosts.split(",") if host.strip()]


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Return whether an address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
