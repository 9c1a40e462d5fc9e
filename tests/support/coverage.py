"""Whether all lanes of a queue are covered: invariant 1 of the design."""

from __future__ import annotations

from redis.asyncio import Redis

from producers.queue.bucket import decode_bucket
from producers.queue.lanes import LaneScore
from producers.transport.clients import keyspace_of


async def uncovered_lanes(redis: Redis) -> set[str]:
    """Return the lanes that wait and whose user nothing schedules, or that are in flight and in no session."""
    found, keys = set(), keyspace_of(redis)
    users = {key.decode().removeprefix(keys.heads) async for key in redis.scan_iter(keys.heads + "*")}
    held = set()
    for session in await redis.hkeys(keys.sessions):  # type: ignore[misc]
        held |= {lane.decode() for lane in await redis.hkeys(keys.held + session.decode())}  # type: ignore[misc]
    for user in users:
        bucket = decode_bucket(await redis.get(keys.bucket_of(user)))
        heads = {trader.decode() for trader in await redis.hkeys(keys.heads + user)}  # type: ignore[misc]
        for lanes, schedule in ((keys.lanes, keys.schedule), (keys.bulk_lanes, keys.bulk_schedule)):
            scores = dict(await redis.zrange(lanes + user, 0, -1, withscores=True))
            ready = any(score < LaneScore.PARKED for score in scores.values())
            egress = await redis.hget(keys.pins, user)  # type: ignore[misc]
            read = schedule if egress is None else f"{schedule}:{egress.decode()}"
            scheduled = await redis.zscore(read, user) is not None
            if ready and not scheduled and not bucket.waits and not await _is_paused(redis, user):
                found |= {f"{user}:{trader.decode()}" for trader in scores}
            for trader, score in scores.items():
                lane = f"{user}:{trader.decode()}"
                if trader.decode() not in heads or (score == LaneScore.IN_FLIGHT) != (lane in held):
                    found.add(lane)
                heads.discard(trader.decode())
        found |= {f"{user}:{trader}" for trader in heads}
    return found


async def _is_paused(redis: Redis, user: str) -> bool:
    return bool(await redis.hexists(keyspace_of(redis).paused, f"user:{user}"))  # type: ignore[misc]
