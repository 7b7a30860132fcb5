"""A network between a cache and its Redis that is slow, and loses connections."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def slow_network(server: Path, here: Path, seed: str, *, slowest: float = 0.02):
    """Pass bytes on at random times; now and then a connection breaks in the middle."""
    choice = random.Random(seed)
    tasks = set()

    async def passing(reader, writer):
        try:
            while data := await reader.read(4096):
                await asyncio.sleep(choice.random() * slowest)
                if choice.random() < 0.01:
                    data = data[: len(data) // 2]
                    writer.write(data)
                    return
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def joined(reader, writer):
        tasks.add(asyncio.current_task())
        there, back = await asyncio.open_unix_connection(server)
        ways = [asyncio.create_task(passing(reader, back))]
        ways.append(asyncio.create_task(passing(there, writer)))
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()
            writer.close()

    listening = await asyncio.start_unix_server(joined, here)
    try:
        yield f"unix://{here}"
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
