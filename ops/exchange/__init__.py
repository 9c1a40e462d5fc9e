"""The exchange double: a strict, honest peer in place of the exchange, for tests, demo, benchmarks and chaos runs.

It is an independent check of the worker and shares no code with it: it verifies signatures, validates bodies and
counts requests by its own reading of the Bitget API documentation.

    accounts  who may ask                      windows   sliding limits and peaks
    rules     requests in, verdicts out        fields    the body, field by field
    faults    what goes wrong                  ledger    what arrived
    control   watch and steer it over HTTP     app       the network
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
