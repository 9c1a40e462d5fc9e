"""What the steps draw from: few users, traders and batches, so that their changes meet."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from producers import SettingsChange
from tests.properties.world import EGRESSES
from tests.support.changes import setting

USERS, TRADERS, SYMBOLS = ("1", "1:2", "3", "4", "5", "6"), ("a", "b:c"), ("A", "B", "C")
FAN_OUT = "t"
"""The batch whose changes share a template."""

OTHER_BATCHES = ("x", "y")
BATCHES = (*OTHER_BATCHES, FAN_OUT)
VERDICTS = (
    "success", "success", "success", "transient", "permanent", "credentials", "throttled", "clock_skew", "failed",
    "ambiguous", "aborted", "unsent",
)  # fmt: skip
FAILURES = ("credentials", "transient", "throttled", "permanent", "clock_skew")
"""Verdicts that a whole exchange may give for a while."""

WAYS_MS = {"near": (10, 30), "far": (10, 60)}
"""How long a request may take to the exchange by an egress, and its reply back: each way has its minimum."""

SLOW_WAYS_MS = (10, 10, 10, 30, 120)
"""Ways to the exchange that are delayed now and then."""

a_change = st.builds(
    lambda user, trader, symbols: SettingsChange(
        user_id=user, trader_id=trader, settings=[setting(symbol=symbol) for symbol in symbols]
    ),
    st.sampled_from((*USERS, "1", "1", "1", "1:2", "1:2")),  # some have more to do than others
    st.sampled_from(TRADERS),
    st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=2, unique=True),
)


def a_change_of(user: str, trader: str) -> SettingsChange:
    """A change of one setting."""
    return SettingsChange(user_id=user, trader_id=trader, settings=[setting(symbol=SYMBOLS[0])])


def a_template() -> SettingsChange:
    """The change that the users of the fan-out share."""
    return a_change_of("user", TRADERS[0])


def content_of(batch_id: str) -> str:
    """Return the digest of a batch's content."""
    return "template" if batch_id == FAN_OUT else "changes"


some_changes = st.lists(a_change, min_size=1, max_size=6)


def to_everybody(change: SettingsChange) -> list[tuple[int, SettingsChange]]:
    """Return a fan-out of a change to every user."""
    return [(20 + number, msgspec.structs.replace(change, user_id=user)) for number, user in enumerate(USERS)]


a_verdict = st.sampled_from(VERDICTS)
a_ttl_ms = st.sampled_from((3_600_000, 3_600_000, 20_000, 500))
a_worker = st.integers(0, len(EGRESSES) - 1)
who_renews = st.sampled_from(("nobody", "others", "all"))
"""While time passes: "others" means that the worker in question stalls, "nobody" that Redis stands still."""
a_scope = st.sampled_from(
    [{"user_id": user} for user in USERS]
    + [{"trader_id": trader} for trader in TRADERS]
    + [{"egress": "near"}, {"everything": True}]
)
