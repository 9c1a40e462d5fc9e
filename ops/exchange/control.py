"""The double's control paths, with which tests and scenarios in other processes observe and change it. No I/O.

    GET  /_double/report            the report, JSON
    GET  /_double/arrivals          the recorded arrivals, oldest first, one JSON object a line
    GET  /_double/settings/<user>   the settings stored for the user, by trader, JSON
    GET  /_double/faults            the active faults, JSON, each with how many more requests it may affect
    POST /_double/faults            replaces the faults: a JSON list of objects with the attributes of `Fault`
    POST /_double/clock             {"skewMs": 45000} shifts the double's clock against the machine's
    POST /_double/accounts          replaces the accounts: the text of a credentials file
    POST /_double/away              {"ms": 2000} closes all connections and refuses new ones for that time
    POST /_double/reset             clears the arrivals and the limits' windows; settings and faults stay

Requests to these paths are neither recorded nor counted toward a limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from ops.exchange.accounts import AccountsError, parse
from ops.exchange.clock import Clock
from ops.exchange.faults import Fault, Faults
from ops.exchange.ledger import Ledger
from ops.exchange.rules import Exchange

PREFIX = "/_double/"
SETTINGS_PREFIX = f"{PREFIX}settings/"

_json = msgspec.json.Encoder()


class _ClockRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    skew_ms: int


class _AwayRequest(msgspec.Struct, forbid_unknown_fields=True):
    ms: float


class _ActiveFault(msgspec.Struct):
    fault: Fault
    remaining: int | None


class Control(NamedTuple):
    """The handler of the control paths, with the parts of a double that they read and change."""

    ledger: Ledger
    faults: Faults
    exchange: Exchange
    clock: Clock
    go_offline: Callable[[float], None]

    def handle(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Handle one request; return the HTTP status and the JSON body. `path` begins with `PREFIX`."""
        try:
            return 200, self._dispatch(method, path, body)
        except (msgspec.MsgspecError, AccountsError, UnicodeDecodeError) as error:
            return 400, _json.encode({"error": f"{method} {path}: {error}"})
        except LookupError:
            return 404, _json.encode({"error": f"{method} {path}: no such control path; see ops/exchange/control.py"})

    def _dispatch(self, method: str, path: str, body: bytes) -> bytes:
        if method == "GET" and path.startswith(SETTINGS_PREFIX):
            return _json.encode(self.exchange.settings_for(unquote(path.removeprefix(SETTINGS_PREFIX))))
        match method, path.removeprefix(PREFIX):
            case "GET", "report":
                return _json.encode(self.ledger.report())
            case "GET", "arrivals":
                return _json.encode_lines(self.ledger.arrivals)
            case "GET", "faults":
                return _json.encode([_ActiveFault(fault, remaining) for fault, remaining in self.faults.remaining()])
            case "POST", "faults":
                self.faults.replace(msgspec.json.decode(body, type=list[Fault]))
            case "POST", "clock":
                self.clock.skew_ms = msgspec.json.decode(body, type=_ClockRequest).skew_ms
            case "POST", "accounts":
                self.exchange.replace_accounts(parse(body.decode()))
            case "POST", "away":
                self.go_offline(msgspec.json.decode(body, type=_AwayRequest).ms)
            case "POST", "reset":
                self.ledger.reset()
                self.exchange.reset_limits()
            case _:
                raise LookupError(path)
        return b"{}"
