"""`python -m ops.bench.fan_out_once DSN BATCH USERS`: a fan-out in a process of its own, so that its memory is told.

Prints a JSON object: seconds, and the process's peak memory in MB, interpreter and imports included.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path

from ops.bench.lab import change
from producers import Producer


async def main(dsn: str, batch_id: str, users: int) -> dict[str, float]:
    """Fans out one setting to so many users, from a generator."""
    template = change("template")
    async with Producer.connect(dsn) as producer:
        await producer.paused()  # connects
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
    """The peak of this process's memory. Not `ru_maxrss`, which on Linux begins with the parent's."""
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return int(peak) / 1024


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
