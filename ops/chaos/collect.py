"""The ledgers, gathered: from producers' journals, the exchange's record, Redis, its history, and the logs."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import msgspec
from redis.asyncio import Redis
from yarl import URL

from ops.chaos import journal, leaks
from ops.chaos.arq_app import ArqApp
from ops.chaos.environment import EGRESS_RATE_PER_S, USER_RATE_PER_S, Environment
from ops.chaos.evidence import BatchLedger, Change, Evidence, Lane, Stall
from ops.chaos.journal import Answered, Called, Cancelled, Read, ReadToEnd, UnexpectedError
from ops.chaos.run import LastWord, Run
from ops.chaos.schedule import LEASE_S, PRODUCERS, REQUEST_TIMEOUT_S
from ops.chaos.workload import USERS, step
from ops.exchange import Arrival
from producers import JobResult, Outcome
from producers.contract import keyspace
from producers.contract.codec import decode_result

DRIVER, ARQ_APP = -1, -2
"""Who asks besides the producers' processes."""
KEYS_A_TRIP = 1_000
RESULT_WRITTEN = re.compile(rb"\r\n\$3\r\nSET\r\n\$\d+\r\n" + keyspace.RESULT.encode() + rb"([!-~]+)\r\n")
STUMBLED = re.compile(rb"[^\n]*(?:stumbled|unexpected error)[^\n]*")
FENCED = re.compile(rb"lost with its lease, the settlement")
CONTROL_JOB = re.compile(re.escape(keyspace.JOB.encode()) + rb"arq-(?:foe-)?[0-9]+")
"""Of one that a worker died with, arq keeps the payload for minutes."""
MUST_BE_GONE = tuple(prefix.encode() for prefix in (keyspace.JOB, keyspace.LANE, keyspace.HEAD))


async def collect(driver: Run) -> Evidence:
    """Everything, while all of it still runs."""
    world, trouble = driver.world, driver.trouble
    seen = Evidence(
        start_ns=world.start_ns,
        wall_lead_ns=time.time_ns() - time.monotonic_ns(),
        lease_s=LEASE_S,
        request_timeout_s=REQUEST_TIMEOUT_S,
        user_rate=USER_RATE_PER_S,
        egress_per_min=EGRESS_RATE_PER_S * 60,
        arrivals=[msgspec.convert(arrival, Arrival) for arrival in await world.stack.arrivals()],
        hostile=trouble.hostile,
        poison=world.foe.rejected,
        perhaps_poison=set(world.foe.written),
        trapped=world.trap.exists(),
        wrong_users=trouble.wrong_users,
        stalls=[Stall(place.name, *stall) for place in world.workers for stall in place.stalls],
        failed=driver.failed,
        drained_s=driver.drained_s,
    )
    _add_journals(seen, world)
    _add_last_words(seen, driver.last_words)
    _add_arq_app(seen, trouble.arq_app)
    await _add_redis(seen, world.redis)
    seen.kept = await _kept(world.stack.exchange_url)
    history = world.server.history()
    seen.written = _written(history)
    seen.leaks = trouble.leaks + await leaks.in_redis(world.redis, world.secrets(), "at the end")
    return seen


def add_what_was_left(seen: Evidence, world: Environment) -> None:
    """What is known only when every process has ended: how they ended, and all that they wrote."""
    files = [*world.logs, *world.journals, *(world.server.folder / "appendonlydir").iterdir()]
    seen.leaks += leaks.in_files(files, world.secrets())
    for place in world.workers:
        text = place.log.read_bytes()
        seen.surprises += [f"{place.name}: {line.decode(errors='replace')}" for line in STUMBLED.findall(text)]
        seen.fenced += len(FENCED.findall(text))
    for place in (*world.workers, *world.producers):
        seen.lost += [f"{place.name} ended by itself with status {status}" for status in place.lost]


def _add_journals(seen: Evidence, world: Environment) -> None:
    read: dict[int, list[Read]] = {}
    read_all: dict[int, set[str]] = {}
    for number in range(PRODUCERS):
        read[number], read_all[number] = [], set()
        for entry in journal.read(world.journals[number]):
            match entry:
                case Called():
                    for change in _asked(world.seed, number, entry):
                        seen.changes.setdefault(change.job_id, change)
                case Answered():
                    _told(seen, world.seed, number, entry)
                case Cancelled():
                    seen.taken_back.append(entry)
                case Read():
                    read[number].append(entry)
                case ReadToEnd():
                    read_all[number].add(entry.batch_id)
                case UnexpectedError():
                    seen.surprises.append(f"producer {number}, {entry.doing}: {entry.error}")
                case _:
                    pass
    seen.read, seen.read_all = read, read_all


def _asked(seed: int, producer: int, entry: Called) -> list[Change]:
    one = step(seed, producer, entry.step)
    # Changes that are asked for one by one are each a call of its own; their order in it is kept by the same rule.
    return [
        Change(
            job_id=one.job_id(place),
            user=item.user,
            trader=item.trader,
            mark=item.mark,
            symbols=item.symbols,
            producer=producer,
            step=one.number,
            place=place,
            asked_ns=entry.at_ns,
            told_ns=None,
            coalesces=one.coalesce,
            is_bold=item.is_bold,
            ttl_s=one.ttl_s,
        )
        for place, item in enumerate(one.items)
    ]


def _told(seen: Evidence, seed: int, producer: int, entry: Answered) -> None:
    one = step(seed, producer, entry.step)
    for place in entry.accepted:
        change = seen.changes[one.job_id(place)]
        if change.told_ns is None:
            seen.changes[change.job_id] = _replaced(change, told_ns=entry.at_ns)
    if entry.refused:
        seen.surprises.append(f"producer {producer}: places {entry.refused} of {one.name} were refused")


def _replaced(change: Change, **fields: Any) -> Change:
    values = {name: getattr(change, name) for name in change.__slots__}
    return Change(**(values | fields))


def _add_last_words(seen: Evidence, words: list[LastWord]) -> None:
    for place, word in enumerate(words):
        item = word.item
        seen.changes[word.job_id] = Change(
            job_id=word.job_id,
            user=item.user,
            trader=item.trader,
            mark=item.mark,
            symbols=item.symbols,
            producer=DRIVER,
            step=0,
            place=place,
            asked_ns=word.asked_ns,
            told_ns=word.asked_ns + 1,
            is_last=True,
        )


def _add_arq_app(seen: Evidence, app: ArqApp) -> None:
    seen.surprises += app.surprises
    for number, asked in enumerate(app.asked):
        seen.changes[asked.job_id] = Change(
            job_id=asked.job_id,
            user=asked.item.user,
            trader=asked.item.trader,
            mark=asked.item.mark,
            symbols=asked.item.symbols,
            producer=ARQ_APP,
            step=number,
            place=0,
            asked_ns=asked.asked_ns,
            told_ns=asked.told_ns,
        )


async def _add_redis(seen: Evidence, redis: Redis) -> None:
    names = [key async for key in redis.scan_iter(count=KEYS_A_TRIP)]
    prefix = keyspace.RESULT.encode()
    found = [name for name in names if name.startswith(prefix)]
    for start in range(0, len(found), KEYS_A_TRIP):
        some = found[start : start + KEYS_A_TRIP]
        for name, stored in zip(some, await redis.mget(some), strict=True):
            result = _result(stored)
            if result is not None:
                seen.results[name.removeprefix(prefix).decode()] = result
    seen.left = [repr(name) for name in names if name.startswith(MUST_BE_GONE) and not CONTROL_JOB.fullmatch(name)]
    seen.left += [
        f"on the schedule: {lane!r}"
        for key in (keyspace.SCHEDULE, keyspace.BULK_SCHEDULE)
        for lane in await redis.zrange(key, 0, -1)
    ]
    counts = await cast("Awaitable[dict[bytes, bytes]]", redis.hgetall(keyspace.COUNTS))
    counted = {name.decode(): int(count) for name, count in counts.items()}
    seen.unreadable = counted.pop("unreadable", 0)
    seen.counted = counted
    seen.batches = [await _batch(redis, batch.decode()) for batch in await redis.zrange(keyspace.BATCHES, 0, -1)]


def _result(stored: bytes | None) -> JobResult | None:
    """A change's result; None for a control job's, which is of another shape."""
    try:
        return None if stored is None else decode_result(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


async def _batch(redis: Redis, batch_id: str) -> BatchLedger:
    raw = await cast("Awaitable[dict[bytes, bytes]]", redis.hgetall(keyspace.BATCH + batch_id))
    fields = {name.decode(): value.decode() for name, value in raw.items()}
    entries = await redis.xrange(keyspace.BATCH_RESULTS + batch_id)
    return BatchLedger(
        batch_id=batch_id,
        total=int(fields.get("total", 0)),
        in_flight=int(fields.get("in flight", 0)),
        outcomes={f"{outcome}": int(fields[f"o:{outcome}"]) for outcome in Outcome if f"o:{outcome}" in fields},
        complete="complete" in fields,
        sealed="sealed" in fields,
        stream=[(entry[b"job"].decode(), entry[b"outcome"].decode()) for _, entry in entries if b"job" in entry],
        ends=sum(b"end" in entry for _, entry in entries),
    )


async def _kept(exchange_url: str) -> dict[tuple[Lane, str], str]:
    kept = {}
    async with aiohttp.ClientSession() as http:
        for user in USERS:
            url = URL(f"{exchange_url}/_double/settings/{quote(user, safe='')}", encoded=True)
            async with http.get(url) as response:
                for trader, settings in (await response.json()).items():
                    for setting in settings:
                        kept[(user, trader), setting["symbol"]] = setting["traceValue"]
    return kept


def _written(history: list[Path]) -> Counter[str]:
    return Counter(found.decode() for path in history for found in RESULT_WRITTEN.findall(path.read_bytes()))
