"""A process that uses a cache at random and writes down what it asked and what it got.

``history_worker.py URL FILE SEED SECONDS MEMORY SLOW``; times are of the machine's one monotonic
clock. With SLOW 1 there is a network between that delays what is said.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path

from slow_network import slow_network

from agentinfra import RoutingCache
from agentinfra.cache import RedisTier


def main(url: str, path: str, seed: str, seconds: str, memory: str, slow: str) -> None:
    with Path(path).open("a", buffering=1) as file:

        def note(**facts: object) -> None:
            file.write(json.dumps({"at": time.monotonic()} | facts) + "\n")

        begun = work if slow == "0" else work_slowly
        asyncio.run(begun(url, note, seed, float(seconds), int(memory)))


async def work_slowly(url, note, seed, seconds, memory):
    server = Path(url.removeprefix("unix://"))
    async with slow_network(server, server.with_name(f"{seed}.sock"), seed) as slow:
        await work(slow, note, seed, seconds, memory)


async def work(url, note, seed, seconds, memory):
    choice = random.Random(seed)
    async with RedisTier(url, timeout=2.0) as tier:
        end = time.monotonic() + seconds
        cache = RoutingCache(shared=tier, max_size=memory)
        tasks = [act(cache, tier, note, choice, end, f"{seed}.{n}") for n in range(3)]
        await asyncio.gather(*tasks)


async def act(cache, tier, note, choice, end, name):
    for number in range(10**9):
        if time.monotonic() > end:
            return
        op = f"{name}.{number}"
        key = choice.choice("ab")
        kind = choice.choices(["get", "compute", "set", "delete", "clear"], [6, 4, 2, 2, 0.2])[0]
        # What was written while Redis was away, or failed, is not there: health and counts say so.
        errors, up = cache.stats().errors, tier.state == "ready"
        note(op=op, begins=kind, key=key)

        async def load(op=op, key=key):
            note(op=op, loads=key)
            await asyncio.sleep(choice.random() * 0.01)
            return op

        got = None
        if kind == "get":
            got = await cache.get(key)
        elif kind == "compute":
            got = await cache.get_or_compute(key, load)
        elif kind == "set":
            await cache.set(key, op)
        elif kind == "delete":
            await cache.delete(key)
        else:
            await cache.clear()
        sure = up and tier.state == "ready" and cache.stats().errors == errors
        note(op=op, ends=kind, got=got, sure=sure)
        await asyncio.sleep(choice.random() * 0.004)


main(*sys.argv[1:])
