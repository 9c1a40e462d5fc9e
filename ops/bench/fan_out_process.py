"""`python -m ops.bench.fan_out_process DSN BATCH USERS SETTINGS`: a fan-out in a process of its own.

It prints a JSON object: seconds, and the process's peak memory in MB, interpreter and imports included.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path

import msgspec

from ops.bench.environment import change
from producers import Producer


async def main(dsn: str, batch_id: str, users: int, settings: int) -> dict[str, float]:
    """Fan out a number of settings to a number of users, from a generator."""
    template = change("template")
    (first,) = template.settings
    symbols = ["BTCUSDT", *(f"S{number}USDT" for number in range(1, settings))]
    async with Producer.connect(dsn) as producer:
        await producer.paused()  # connect before the clock starts
        started_s = time.perf_counter()
        batch = await producer.fan_out(
            trader_id=template.trader_id,
            settings=[msgspec.structs.replace(first, symbol=symbol) for symbol in symbols],
            user_ids=(f"{10_000_000_000 + number}" for number in range(users)),
            batch_id=batch_id,
        )
        elapsed_s = time.perf_counter() - started_s
    if batch.report is None or batch.report.accepted != users:
        raise RuntimeError(f"not all of {users} users were accepted: {batch.report}")
    return {"seconds": elapsed_s, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    """Return the peak of this process's memory. `ru_maxrss` would start from the parent's on Linux."""
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return int(peak) / 1024


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))))
