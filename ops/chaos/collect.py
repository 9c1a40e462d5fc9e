"""Collects the evidence from producers' journals, the exchange double, Redis, its append-only file, and logs."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from typing import cast

import msgspec
from redis.asyncio import Redis

from ops.chaos import journal, leaks
from ops.chaos.environment import EGRESS_RATE_PER_S, USER_RATE_PER_S, Environment
from ops.chaos.evidence import BatchState, Evidence, merged
from ops.chaos.journal import Answered, Called, Cancelled, Read, ReadToEnd, UnexpectedError
from ops.chaos.run import Run
from ops.chaos.schedule import PRODUCERS, REQUEST_TIMEOUT_S, SESSION_TTL_S
from ops.chaos.workload import USERS, step
from ops.ledger.collect import read_arrivals, read_counters, read_final_settings
from ops.ledger.evidence import Change, Stall
from producers import JobResult, Outcome
from producers.contract.codec import decode_result
from producers.contract.keyspace import Keyspace
from producers.transport.clients import keyspace_of
from worker.logs import Event

BATCH_SIZE = 1_000
"""Keys that one command reads."""
UNEXPECTED = re.compile(
    rb'[^\n]*(?:unexpected error|"event":"(?:%s|%s)")[^\n]*' % (Event.ATTEMPT_ERROR.encode(), Event.CRASHED.encode())
)
FENCED = re.compile(rb'"event":"%s"' % Event.FENCED.encode())


async def collect(run: Run) -> Evidence:
    """Collect what is known while everything still runs."""
    environment, faults = run.environment, run.faults
    seen = Evidence(
        start_ns=environment.start_ns,
        wall_offset_ns=time.time_ns() - time.monotonic_ns(),
        session_ttl_s=SESSION_TTL_S,
        request_timeout_s=REQUEST_TIMEOUT_S,
        user_limit_per_s=USER_RATE_PER_S,
        address_limit_per_min=EGRESS_RATE_PER_S * 60,
        arrivals=await read_arrivals(environment.stack),
        poison=environment.interference.rejected,
        perhaps_poison=set(environment.interference.written),
        unpickled=environment.unpickle_marker.exists(),
        misconfigured_users=faults.misconfigured_users,
        stalls=[Stall(worker.name, *stall) for worker in environment.workers for stall in worker.stalls],
        failed=run.failed,
        drained_s=run.drained_s,
        unexpected_errors=list(faults.arq_app.unexpected),
    )
    for number in range(PRODUCERS):
        _add_journal(seen, environment, number)
    seen.changes |= {change.job_id: change for change in (*run.final_changes, *faults.arq_app.changes)}
    for redis in environment.clients.clients:
        await _add_redis(seen, redis, keyspace_of(redis))
    seen.batches = merged(seen.batches)
    seen.final_settings = await read_final_settings(environment.stack.exchange_url, USERS)
    seen.written = environment.server.results_written()
    seen.lost = environment.server.lost
    return seen


def add_exits_and_leaks(seen: Evidence, environment: Environment) -> None:
    """Add what is known only when every process has ended: how it ended, and everything it wrote."""
    files = [*environment.logs, *environment.journals, *environment.server.histories]
    seen.leaks += leaks.in_files(files, environment.secrets())
    for worker in environment.workers:
        text = worker.log.read_bytes()
        seen.unexpected_errors += [
            f"{worker.name}: {line.decode(errors='replace')}" for line in UNEXPECTED.findall(text)
        ]
        seen.fenced += len(FENCED.findall(text))
    for process in (*environment.workers, *environment.producers):
        seen.exited += [f"{process.name} ended by itself with status {status}" for status in process.exits]


def _add_journal(seen: Evidence, environment: Environment, number: int) -> None:
    read = seen.read.setdefault(number, [])
    read_to_end = seen.read_to_end.setdefault(number, set())
    for entry in journal.read(environment.journals[number]):
        match entry:
            case Called():
                for position in range(len(step(environment.seed, number, entry.step).items)):
                    change = step_change(environment.seed, number, entry, position)
                    seen.changes.setdefault(change.job_id, change)
            case Answered():
                _add_answer(seen, environment.seed, number, entry)
            case Cancelled():
                seen.cancelled.append(entry)
            case Read():
                read.append(entry)
            case ReadToEnd():
                read_to_end.add(entry.batch_id)
            case UnexpectedError() if entry.action.removeprefix("reading ") in environment.server.lost.batches:
                pass  # the batch is gone, though its fan-out was answered
            case UnexpectedError():
                seen.unexpected_errors.append(f"producer {number}, {entry.action}: {entry.error}")


def step_change(seed: int, producer: int, entry: Called, position: int) -> Change:
    """Return a change of a step that a producer has requested, not accepted so far.

    `enqueue` is called once for each change of a step; their positions order these calls.
    """
    one = step(seed, producer, entry.step)
    item = one.items[position]
    return Change(
        job_id=one.job_id(position),
        change=item.change,
        call=(producer, one.number),
        position=position,
        requested_ns=entry.at_ns,
        accepted_ns=None,
        coalesces=one.coalesce,
        must_be_rejected=item.must_be_rejected,
        ttl_s=one.ttl_s,
    )


def _add_answer(seen: Evidence, seed: int, producer: int, entry: Answered) -> None:
    one = step(seed, producer, entry.step)
    for position in entry.accepted:
        change = seen.changes[one.job_id(position)]
        if change.accepted_ns is None:
            seen.changes[change.job_id] = replace(change, accepted_ns=entry.at_ns)
    if entry.refused:
        seen.unexpected_errors.append(f"producer {producer}: positions {entry.refused} of {one.name} were refused")


async def _add_redis(seen: Evidence, redis: Redis, keys: Keyspace) -> None:
    names = [key async for key in redis.scan_iter(count=BATCH_SIZE)]
    prefix = keys.result.encode()
    stored_names = [name for name in names if name.startswith(prefix)]
    for start in range(0, len(stored_names), BATCH_SIZE):
        some = stored_names[start : start + BATCH_SIZE]
        for name, stored in zip(some, await redis.mget(some), strict=True):
            result = _result(stored)
            if result is not None:
                seen.results[name.removeprefix(prefix).decode()] = result
    transient = tuple(
        prefix.encode()
        for prefix in (keys.job, keys.heads, keys.rest, keys.lanes, keys.bulk_lanes, keys.attempts, keys.held)
    )
    # The payload of a control job stays while its lease does, some seconds after its worker has died.
    control_job = re.compile(re.escape(keys.job.encode()) + rb"arq-(?:poison-)?[0-9]+")
    seen.leftovers += [repr(name) for name in names if name.startswith(transient) and not control_job.fullmatch(name)]
    seen.leftovers += [
        f"on the schedule: {lane!r}"
        for key in (keys.schedule, keys.bulk_schedule)
        for lane in await redis.zrange(key, 0, -1)
    ]
    found = Counter({name: count for name, count in (await read_counters(redis)).items() if name in set(Outcome)})
    seen.counters = Counter(seen.counters) + found
    seen.batches += [await _batch(redis, keys, batch.decode()) for batch in await redis.zrange(keys.batches, 0, -1)]


def _result(stored: bytes | None) -> JobResult | None:
    """Return the result of a change; None for that of a control job, which has another format."""
    try:
        return None if stored is None else decode_result(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


async def _batch(redis: Redis, keys: Keyspace, batch_id: str) -> BatchState:
    raw = await cast("Awaitable[dict[bytes, bytes]]", redis.hgetall(keys.batch + batch_id))
    fields = {name.decode(): value.decode(errors="replace") for name, value in raw.items()}
    entries = await redis.xrange(keys.batch_results + batch_id)
    return BatchState(
        batch_id=batch_id,
        total=int(fields.get("total", 0)),
        in_flight=int(fields.get("in_flight", 0)),
        outcomes={
            f"{outcome}": int(fields[f"outcome_{outcome}"]) for outcome in Outcome if f"outcome_{outcome}" in fields
        },
        complete="completed_at" in fields,
        sealed="sealed_at" in fields,
        stream=[(entry[b"job"].decode(), entry[b"outcome"].decode()) for _, entry in entries if b"job" in entry],
        ends=sum(b"end" in entry for _, entry in entries),
    )
