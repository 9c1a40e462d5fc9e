"""Whether a worker could work from here: what its settings, credentials and the exchange say. Values in, findings out;
no I/O.
"""

from __future__ import annotations

from producers.monitor.checks import Check, fail, ok, warn

SLOW_S = 1.0
"""A round trip above this: every change takes it, and `COPYTRADE_MAX_JOBS` bounds how many are under way."""

SKEW_S, REFUSED_SKEW_S = 5.0, 30.0
"""The exchange refuses timestamps more than 30 s from its own time (Bitget API documentation, "Signature")."""

_TOO_MANY_REQUESTS = 429


def of_settings() -> Check:
    """They can be read."""
    return ok("worker settings", "readable")


def of_broken_settings(problem: str) -> Check:
    """They stop a worker's start."""
    return fail("worker settings", problem, "correct the variable; no worker starts with it")


def of_credentials(users: int | None) -> Check:
    """The source can be used.

    Args:
        users: how many users it has; None if it does not tell.
    """
    return ok("credentials", "readable" if users is None else f"readable, of {users} users")


def of_broken_credentials(problem: str) -> Check:
    """The source cannot be used; the problem names no secret."""
    return fail("credentials", problem, "no worker starts with it; see COPYTRADE_CREDENTIALS")


def of_exchange(status: int, took_s: float, *, tells_time: bool) -> Check:
    """What answered to the question for the exchange's time.

    Args:
        status: HTTP status.
        took_s: the round trip, without connecting.
        tells_time: whether the reply has the exchange's time in it.
    """
    detail = f"answers HTTP {status} after {took_s * 1000:.0f} ms"
    if status == _TOO_MANY_REQUESTS:
        return warn(
            "exchange", f"{detail}: too many requests from this IP", "wait 5 minutes; see who else sends from it"
        )
    if not tells_time:
        hint = "something stands between: a proxy, a block of this country or IP, or a wrong COPYTRADE_EXCHANGE_URL"
        return fail("exchange", f"{detail}, without the exchange's time", hint)
    if took_s > SLOW_S:
        return warn("exchange", detail, "run workers nearer to the exchange, or look at this machine's network")
    return ok("exchange", detail)


def of_silence(problem: str) -> Check:
    """No reply."""
    return fail("exchange", problem, "check COPYTRADE_EXCHANGE_URL, and whether this machine may connect to it")


def of_skew(offset_s: float, uncertain_s: float) -> Check:
    """How this machine's clock stands to the exchange's.

    Args:
        offset_s: the exchange's time less ours.
        uncertain_s: how wrong that may be.
    """
    detail = f"the exchange's clock is {offset_s:+.1f} s from this machine's (within {uncertain_s:.1f} s)"
    least_s = abs(offset_s) - uncertain_s
    if least_s > REFUSED_SKEW_S:
        hint = "synchronise this machine's clock (NTP): until it has learnt the exchange's, a worker's requests fail"
        return fail("exchange clock", f"{detail}; it refuses requests that are {REFUSED_SKEW_S:.0f} s off", hint)
    if least_s > SKEW_S:
        return warn("exchange clock", detail, "synchronise this machine's clock (NTP)")
    return ok("exchange clock", detail)
