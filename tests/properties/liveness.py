"""Liveness: the latest time at which a user's changes have ended, with one working worker and no more failures."""

from __future__ import annotations

from ops.keys import KEYS
from producers.contract import keyspace
from producers.queue.bucket import FULL_PACE, StoredBucket, decode_bucket
from producers.queue.lanes import LaneScore
from tests.properties.at_work import WorldAtWork
from tests.properties.invariants import value
from tests.properties.world import BEAT_US, LATE_FOR_US, PACING, TTL_US
from worker.queue.renewal import ARRIVES_WITHIN_US

SLACK_US = 3_000_000
"""As long as a user is postponed at most while the breaker probes others, and more."""

LATE_US = 100_000
"""How late each claim of the working worker may be."""


def ready_us(world: WorldAtWork, user: str) -> int:
    """Return when the last change of a user must have ended, by the clock of Redis."""
    bucket = decode_bucket(value(world.dump, KEYS.bucket_of(user), None))
    egress = value(world.dump, f"{KEYS.egress}near", {})
    # Whatever was put off before the clock was set back waits until it is again what it was.
    begins_us = max(world.now_us, world.latest_us, bucket.hold, round(float(egress.get(b"probe_at", 0))))
    begins_us = max([begins_us, *map(abs, bucket.ring), *(late for late in bucket.late if isinstance(late, int))])
    for prefix in (KEYS.lanes, KEYS.bulk_lanes):
        scores = map(float, value(world.dump, prefix + user, {}).values())
        begins_us = max([begins_us, *(round(score) * 1000 for score in scores if score < LaneScore.PARKED)])
    lost = {held.session for lane, held in world.model.held.items() if lane.partition(":")[0] == user}
    for session in lost:
        # Its lanes are taken back; then its requests delay the next change of their lanes.
        renewed_ms = int(value(world.dump, KEYS.sessions, {})[session.encode()].split()[1])
        taken_us = max(world.now_us, world.latest_us, renewed_ms * 1000) + 2 * TTL_US + 4 * BEAT_US
        begins_us = max(begins_us, taken_us + LATE_FOR_US + ARRIVES_WITHIN_US)
    changes = sum(len(queued) for lane, queued in world.model.queued.items() if lane.partition(":")[0] == user)
    return begins_us + PACING.window_us + changes * (_pace_us(bucket) + LATE_US) + SLACK_US


def _pace_us(bucket: StoredBucket) -> int:
    return PACING.pace_us * bucket.slowdown_permille // FULL_PACE


LOOK_US = 50_000
"""The working worker claims no more often than this."""

ROUNDS = 2_000


def drain(world: WorldAtWork) -> None:
    """Drain the queue with one working worker; no user waits longer than holds, sessions and rates explain."""
    for worker in list(world.workers):
        world.lose(worker, arrives=True)
    worker = world.workers[0]
    elsewhere = [keyspace.unescape(user) for user, egress in world.pins.items() if egress != worker.egress]
    world.pin(dict.fromkeys(elsewhere, worker.egress))
    world.renew(worker)
    world.after()
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
            pause_us = max(LOOK_US, round((next_due_s or 0) * 1e6) + 1)
            if world.model.held:
                pause_us = min(pause_us, BEAT_US)
            world.wait_until_us(world.clock.now_us + pause_us)
        world.renew(worker)
    raise AssertionError("the queue does not get empty")


def _users(world: WorldAtWork) -> set[str]:
    return {lane.partition(":")[0] for lane in world.model.queued}
