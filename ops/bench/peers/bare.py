"""`python -m ops.bench.peers.bare URL COUNT`: the bare aiohttp loop; print its rate and CPU time as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from ops.bench.http_baseline import post


async def _measure(url: str, count: int) -> dict[str, float]:
    started_s = time.process_time()
    rate = await post(url, count)
    return {"rate_per_s": rate, "cpu_us": 1_000_000 * (time.process_time() - started_s) / count}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(sys.argv[1], int(sys.argv[2])))))
