"""The exchange double: a strict stand-in for the exchange, for tests, demo, benchmarks and chaos runs.

It shares no code with the worker, so that it checks the worker independently: its signatures, bodies and limits are
written from the Bitget API documentation alone.

    accounts  users and their API keys         windows   sliding limits and peaks
    rules     from a request to its verdict    fields    validation of the body
    faults    injected failures                ledger    the recorded arrivals
    control   its HTTP interface for tests     app       the HTTP server
    verdicts  replies and their codes          wire      their bytes
    clock     monotonic and wall time
"""

from ops.exchange.accounts import Account, Accounts, AccountsError, load, parse
from ops.exchange.app import ExchangeDouble
from ops.exchange.clock import Clock
from ops.exchange.faults import Fault, FaultError, Faults
from ops.exchange.ledger import Arrival, Ledger, Report, UserReport

__all__ = [
    "Account",
    "Accounts",
    "AccountsError",
    "Arrival",
    "Clock",
    "ExchangeDouble",
    "Fault",
    "FaultError",
    "Faults",
    "Ledger",
    "Report",
    "UserReport",
    "load",
    "parse",
]
