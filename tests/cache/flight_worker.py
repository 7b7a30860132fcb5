"""A process in which many callers ask for one key at the same time.

``flight_worker.py URL LOADS CALLERS``: says that it is ready, begins when it is told a line, and
adds a line to the file LOADS for each load.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agentinfra import RoutingCache
from agentinfra.cache import RedisTier


def count(loads: str) -> None:
    with Path(loads).open("a") as file:
        file.write("loaded\n")


async def main(url: str, loads: str, callers: str) -> None:
    async def load() -> str:
        count(loads)
        await asyncio.sleep(0.2)  # so long that all are there before it ends
        return "the one value"

    async with RedisTier(url, timeout=10.0) as tier:
        cache = RoutingCache(shared=tier)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        got = await asyncio.gather(*(cache.get_or_compute("q", load) for _ in range(int(callers))))
    sys.stdout.write(f"{len(got)} {set(got)}\n")


asyncio.run(main(*sys.argv[1:]))
