"""The exchange double: a strict stand-in for the exchange, for tests, demo, benchmarks and chaos runs.

It checks the worker independently and shares no code with it: it verifies signatures, validates bodies and counts
requests by its own reading of the Bitget API documentation.

    accounts  users and their API keys         windows   sliding limits and peaks
    rules     requests in, verdicts out        fields    the body, field by field
    faults    injected failures                ledger    the recorded arrivals
    control   watch and steer it over HTTP     app       the HTTP server
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
