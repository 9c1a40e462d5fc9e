"""Liveness: the latest time at which a user's changes have ended, with one working worker and no more failures."""

from __future__ import annotations

from ops.keys import KEYS
from producers.queue.bucket import LATE
from tests.properties.invariants import value
from tests.properties.world import LEASE_US, PACING, World
from tests.support.lanes import DEFAULTS

SLACK_US = 1_000_000
TIMEOUT_US = round(DEFAULTS.request_timeout_s * 1e6)
LATE_US = 100_000
"""How late each claim of the working worker may be."""


def ready_us(world: World, user: str) -> int:
    """Return when the last change of a user must have ended, by the clock of Redis."""
    lanes = [lane for lane in world.model.queued if lane.partition(":")[0] == user]
    bucket = value(world.dump, KEYS.bucket_of(lanes[0]), {})
    egress = value(world.dump, f"{KEYS.egress}near", {})
    heads = [value(world.dump, KEYS.head + lane, {}) for lane in lanes]
    # Whatever was put off before the clock was set back waits until it is again what it was.
    begins_us = max(world.now_us, world.latest_us, _us(bucket, b"hold"), _us(egress, b"hold"), _us(egress, b"probe at"))
    for head in heads:
        # A request that was lost with its worker delays the next change of its lane.
        waits_us = _us(head, b"lease") * 1000 + TIMEOUT_US if b"token" in head else _us(head, b"earliest") * 1000
        begins_us = max(begins_us, waits_us)
    # And so does every other request of unknown fate.
    begins_us = max([begins_us, *(_us(bucket, name) for name in bucket if name.startswith(LATE.encode()))])
    lost = [number for name, number in bucket.items() if name.isdigit() and float(number) < 0]
    window_us = PACING.window_us + (LEASE_US if lost else 0)
    changes = sum(len(world.model.queued[lane]) for lane in lanes)
    pace_us = PACING.pace_us * _us(bucket, b"slow") // 1000 if b"slow" in bucket else PACING.pace_us
    return begins_us + window_us + changes * (pace_us + LATE_US) + SLACK_US


def _us(fields: dict[bytes, bytes], name: bytes) -> int:
    return round(float(fields.get(name, 0)))


LOOK_US = 50_000
"""The working worker claims no more often than this."""

ROUNDS = 2_000


def drain(world: World) -> None:
    """Drain the queue with one working worker; no user waits longer than holds, leases and rates explain."""
    for worker in world.workers:
        world.lose(worker, arrives=True)
    worker = world.workers[0]
    at_the_latest_us = {user: ready_us(world, user) for user in _users(world)}
    for _ in range(ROUNDS):
        if not world.model.queued:
            return
        for user in _users(world):
            assert world.now_us < at_the_latest_us[user], f"user {user} waits although nothing holds it back"
        next_due_s = world.claim(worker, 50)
        if worker.in_hand:
            world.settle(worker, 0, "success", up_ms=10, down_ms=10, lag_ms=0)
        else:
            world.wait_until_us(world.clock.now_us + max(LOOK_US, round((next_due_s or 0) * 1e6) + 1))
    raise AssertionError("the queue does not get empty")


def _users(world: World) -> set[str]:
    return {lane.partition(":")[0] for lane in world.model.queued}
