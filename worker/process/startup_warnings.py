"""Whether a Redis is fit to hold a queue, said when a worker starts. The doctor judges; no I/O."""

from __future__ import annotations

from producers.monitor.checks import CheckStatus
from producers.monitor.redis_checks import Info, present_info


def complaints(info: Info) -> list[str]:
    """What is wrong with a Redis, a line each; nothing when it is fit.

    Args:
        info: the reply of INFO. What it does not tell, as managed servers may have it, is not complained of.
    """
    return [f"{check.detail}; {check.hint}" for check in present_info(info) if check.status is not CheckStatus.OK]
