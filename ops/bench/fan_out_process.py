"""`python -m ops.bench.fan_out_process DSN BATCH USERS`: a fan-out in a process of its own, to measure its memory.

It prints a JSON object: seconds, and the process's peak memory in MB, interpreter and imports included.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path

from ops.bench.environment import change
from producers import Producer


async def main(dsn: str, batch_id: str, users: int) -> dict[str, float]:
    """Fan out one setting to a number of users, from a generator."""
    template = change("template")
    async with Producer.connect(dsn) as producer:
        await producer.paused()  # connect before the clock starts
        started_s = time.perf_counter()
        batch = await producer.fan_out(
            trader_id=template.trader_id,
            settings=template.settings,
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
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
