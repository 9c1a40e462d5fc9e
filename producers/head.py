"""What a lane remembers of its head between attempts. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from producers.contract import Attempt

ATTEMPTS_KEPT = 20
CARRIED_KEPT = 200


class HeadState(msgspec.Struct, frozen=True, kw_only=True):
    """The history of a change that has not ended.

    Attributes:
        attempts: its requests, oldest first, the last 20.
        tries: how many counted as a try.
        first_sent_at_ms: when the first was sent, Unix milliseconds; None if none was.
        carried: the changes of which something was in one of its requests, its own included.
    """

    attempts: list[Attempt] = []
    tries: int = 0
    first_sent_at_ms: int | None = None
    carried: list[str] = []

    def with_attempt(self, attempt: Attempt, carried: Iterable[str] = (), *, counts: bool) -> HeadState:
        """The history after one more request, which carried something of these changes."""
        return HeadState(
            attempts=[*self.attempts, attempt][-ATTEMPTS_KEPT:],
            tries=self.tries + counts,
            first_sent_at_ms=attempt.at_ms if self.first_sent_at_ms is None else self.first_sent_at_ms,
            carried=[*dict.fromkeys((*self.carried, *carried))][-CARRIED_KEPT:],
        )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(HeadState)


def encode(state: HeadState) -> bytes:
    """A history as it is stored."""
    return _encoder.encode(state)


def decode(stored: bytes | None) -> HeadState:
    """A stored history; an empty one if there is none or it cannot be read."""
    if stored is None:
        return HeadState()
    try:
        return _decoder.decode(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return HeadState()
