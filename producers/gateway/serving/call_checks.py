"""What a call must be before it is routed, whoever makes it: its path, its host, its origin, its headers. No I/O."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from http import HTTPStatus
from urllib.parse import parse_qsl

from producers.errors import MAX_VALUE_CHARS
from producers.gateway.calls.problems import GatewayError, NotPermitted
from producers.gateway.settings import is_loopback

Headers = Iterable[tuple[bytes, bytes]]

SINGLE = frozenset(
    b"host authorization content-type content-encoding idempotency-key last-event-id origin sec-fetch-site".split()
)
"""Headers of which there can be one: of two, one program would read the first, and another the last."""

_match_host = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::\d*)?").fullmatch

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class InvalidHead(GatewayError):
    """A header or a parameter that is there twice, or a host that is not served."""

    status = HTTPStatus.BAD_REQUEST


def own_path(path: str, root_path: str, first_segments: Collection[str]) -> str:
    """Return a path below the prefix that the gateway is served at.

    A proxy may take the prefix off or not, a server adds it (ASGI says that it is in the path), and some applications
    that mount others do not: it is taken off as long as what remains is ours.

    Args:
        path: the path of the call.
        root_path: the prefix.
        first_segments: with what the gateway's own paths begin.
    """

    def is_own(path: str) -> bool:
        return path.lstrip("/").partition("/")[0] in first_segments

    while root_path and path.startswith(f"{root_path}/"):
        rest = path[len(root_path) :]
        if is_own(path) and not is_own(rest):
            break
        path = rest
    return path


def call_refusal(
    method: str, query: bytes, headers: Headers, hosts: Collection[str], *, auth: bool
) -> GatewayError | None:
    """Return why a call is refused before it is routed, if it is.

    Args:
        method: its method.
        query: what follows the question mark.
        headers: its headers, names in lower case.
        hosts: the hosts that are served; none for any.
        auth: whether calls need an access key. Without, a web page that this machine's browser shows must not be able
            to call: neither from its own origin (as CrossOriginProtection of Go's net/http finds out), nor under a
            name of its own that leads to this machine (DNS rebinding).
    """
    given: dict[bytes, str] = {}
    for name, value in headers:
        if name not in SINGLE:
            continue
        if name in given:
            return InvalidHead(f"the header {name.decode().title()} must be there once")
        given[name] = value.decode("latin-1").strip()
    host = given.get(b"host")
    if hosts and not _is_served(host or "", hosts):
        return InvalidHead(f"the host {host} is not served: COPYTRADE_GATEWAY_HOSTS names those that are")
    repeated = _repeated_parameter(query) if query else None
    if repeated is not None:
        return InvalidHead(f"the parameter {repeated[:MAX_VALUE_CHARS]} must be there once")
    if auth:
        return None
    if host is not None and not hosts and not names_this_machine(host):
        return InvalidHead(
            f"without access keys, the gateway serves localhost only, not {host}: COPYTRADE_GATEWAY_HOSTS adds hosts"
        )
    if method not in SAFE_METHODS and is_cross_origin(given.get(b"sec-fetch-site"), given.get(b"origin"), host):
        return NotPermitted("without access keys, the gateway serves no page of another origin")
    return None


def _repeated_parameter(query: bytes) -> str | None:
    names = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    return next((name for name, times in names.items() if times > 1), None)


def is_cross_origin(site: str | None, origin: str | None, host: str | None) -> bool:
    """Return whether a browser sent a call from another origin, as CrossOriginProtection of Go's net/http finds out.

    Args:
        site: the value of its header Sec-Fetch-Site.
        origin: the value of its header Origin.
        host: the value of its header Host.
    """
    if site is not None:
        return site not in ("same-origin", "none")
    return origin is not None and origin.partition("://")[2] != host


def names_this_machine(host: str) -> bool:
    """Return whether the value of the header Host is this machine's own name or address."""
    return is_loopback(_name(host))


def _is_served(host: str, hosts: Collection[str]) -> bool:
    """Return whether a host is one of those that are served: with its port or without, or below `*.`."""
    names = {host.lower(), _name(host)}
    return any(
        served == "*"
        or served.lower() in names
        or (served.startswith("*.") and _name(host).endswith(served[1:].lower()))
        for served in hosts
    )


def _name(host: str) -> str:
    """Return a host without its port, and without the brackets of an IPv6 address; nothing if it is no host."""
    found = _match_host(host)
    return (found[1] or found[2].rstrip(".")).lower() if found else ""
