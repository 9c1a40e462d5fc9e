"""The renewal of a session: the renew script and its messages."""

from __future__ import annotations

from producers.queue.parts import BATCHES, EGRESS, LANES, LAYOUT_CHECK, PARKING, SESSION
from producers.transport.script_messages import Message
from producers.transport.scripts import Script

CHUNK_SIZE = 100
"""Lanes that one renewal moves: some 4 ms of Redis."""

ARRIVES_WITHIN_US = 1_000_000
"""How long after the end of its session, or after it was aborted, a request may still arrive at the exchange."""

TAKEN_TTL_MS = 3_600_000
"""How long a session that was taken back may settle late, and take its lost deliveries off again."""


LOOKS = 16
"""How many renewals look for lapsed sessions in the time between two renewals of one worker, if there are as many."""


class RenewRequest(Message):
    """What renew.lua is given.

    Attributes:
        session: the session.
        opens: 1 to open it if it is not known.
        closes: 1 to end it, if it holds nothing.
        ttl_ms: its TTL.
        late_for_ms: for how long after its end a request of it may still be applied.
        refused_claims: claims up to this number are refused from now on.
        lost_claims: the claims whose replies never came.
        settled_claims: all claims up to this number were settled, or are lost.
        in_flight: how many lanes the worker knows that it has in flight.
        egress: name of its egress, escaped.
        egress_pace: us a request.
        looks: 1 to look for sessions that have lapsed, and to take back their lanes.
    """

    session: str
    opens: int
    closes: int
    ttl_ms: int
    late_for_ms: int
    refused_claims: int
    lost_claims: list[int]
    settled_claims: int
    in_flight: int
    egress: str
    egress_pace: int
    looks: int


class RenewReply(Message):
    """What renew.lua replies.

    Attributes:
        is_alive: 0 if the session is dead or not known.
        has_more: 1 if there are more lanes to take back or to resume: renew again at once.
        sessions: how many there are; 0 if the renewal did not look.
    """

    is_alive: int
    has_more: int
    sessions: int


class LapsedSearch:
    """Decides which renewals look for sessions that have lapsed.

    To look takes 2 us of Redis for each session, and each worker renews twice a second: if all looked, 1,000 workers
    would take four cores. So all look while there are up to `LOOKS` workers; of more, each looks in turn, by chance.
    """

    def __init__(self) -> None:
        self._sessions = 0
        self._has_more = False

    def is_due(self, chance: float) -> bool:
        """Return whether the next renewal looks; `chance` is a random number from 0 to 1."""
        return self._has_more or chance * self._sessions < LOOKS

    def learn(self, reply: RenewReply) -> None:
        """Take note of a reply."""
        self._has_more = bool(reply.has_more)
        self._sessions = reply.sessions or self._sessions


RENEW = Script.load(
    "worker.queue",
    "renew.lua",
    parts=[*LANES, EGRESS, SESSION, BATCHES, PARKING, LAYOUT_CHECK],
    constants={"CHUNK_SIZE": CHUNK_SIZE, "ARRIVES_WITHIN": ARRIVES_WITHIN_US, "TAKEN_TTL_MS": TAKEN_TTL_MS},
    request=RenewRequest,
    reply=RenewReply,
    runs_when_full=True,
)
