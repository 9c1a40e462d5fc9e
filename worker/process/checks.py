"""Checks of a worker's environment: credentials, the exchange, the clock, Redis. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from producers.contract.wording import plural
from producers.monitor.checks import Check, CheckStatus, fail, ok, warn
from producers.monitor.redis_checks import Info, present_info

MAX_ROUND_TRIP_S = 1.0
"""A longer round trip gets a warning: it delays every change, and COPYTRADE_MAX_JOBS limits concurrent changes."""

MAX_SKEW_S, REJECTED_SKEW_S = 5.0, 30.0
"""The exchange rejects timestamps more than 30 s from its own time (Bitget API documentation, "Signature")."""

MAX_FAULTS = 5
"""Entries of the source of credentials that are named."""

_TOO_MANY_REQUESTS = 429


def check_credentials(users: int | None, faults: Sequence[str] = ()) -> Check:
    """Check a source of credentials that can be read.

    Args:
        users: how many users it has; None if that is unknown.
        faults: what is wrong with the entries that cannot be used.
    """
    detail = "readable" if users is None else f"readable, of {plural(users, 'user')}"
    if not faults:
        return ok("credentials", detail)
    more = f"; and {len(faults) - MAX_FAULTS} more" if len(faults) > MAX_FAULTS else ""
    shown = "; ".join(faults[:MAX_FAULTS])
    bad = plural(len(faults), "entry")
    return warn(
        "credentials", f"{detail}; {bad} cannot be used: {shown}{more}", "mend them: changes of these users wait"
    )


def credentials_not_permitted() -> Check:
    """Return the check of credentials in Redis that this Redis user may not read."""
    detail = "not checked: this Redis user may not read them"
    return warn("credentials", detail, "run the doctor as a worker's user; other users are not to read them")


def check_exchange(status: int, took_s: float, *, has_time: bool) -> Check:
    """Check the reply to a time request.

    Args:
        status: HTTP status.
        took_s: the round trip, without connecting.
        has_time: whether the reply contains the exchange's time.
    """
    detail = f"answers HTTP {status} after {took_s * 1000:.0f} ms"
    if status == _TOO_MANY_REQUESTS:
        return warn(
            "exchange", f"{detail}: too many requests from this IP", "wait 5 minutes; see who else sends from it"
        )
    if not has_time:
        hint = "another server answered: a proxy, a block of this country or IP, or a wrong COPYTRADE_EXCHANGE_URL"
        return fail("exchange", f"{detail}, without the exchange's time", hint)
    if took_s > MAX_ROUND_TRIP_S:
        return warn("exchange", detail, "run workers nearer to the exchange, or check this machine's network")
    return ok("exchange", detail)


def check_clock_skew(offset_s: float, uncertainty_s: float) -> Check:
    """Check this machine's clock against the exchange's.

    Args:
        offset_s: the exchange's time minus ours.
        uncertainty_s: maximum error of the offset.
    """
    detail = f"the exchange's clock is {offset_s:+.1f} s from this machine's (within {uncertainty_s:.1f} s)"
    min_skew_s = abs(offset_s) - uncertainty_s
    if min_skew_s > REJECTED_SKEW_S:
        hint = "synchronise this machine's clock (NTP): a worker's requests fail until it has the exchange's time"
        return fail("exchange clock", f"{detail}; it rejects requests that are {REJECTED_SKEW_S:.0f} s off", hint)
    if min_skew_s > MAX_SKEW_S:
        return warn("exchange clock", detail, "synchronise this machine's clock (NTP)")
    return ok("exchange clock", detail)


def startup_warnings(info: Info) -> list[str]:
    """Return one line for each problem that the reply to INFO shows. Values that it does not contain are skipped."""
    return [f"{check.detail}; {check.hint}" for check in present_info(info) if check.status is not CheckStatus.OK]
