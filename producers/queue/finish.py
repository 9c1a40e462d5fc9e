"""Which outcomes leave a dead letter. Shared with finish.lua."""

from __future__ import annotations

from producers.contract.messages import Outcome

DEAD_OUTCOMES = (Outcome.REJECTED, Outcome.UNAUTHORIZED, Outcome.EXHAUSTED)
"""Changes that finish with one of these are kept as dead letters."""
