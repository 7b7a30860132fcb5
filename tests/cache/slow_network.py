"""A network between a cache and its Redis that is slow, now more and now less."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from pathlib import Path


@asynccontextmanager
async def slow_network(server: Path, here: Path, seed: str, *, slowest: float = 0.01):
    """Pass bytes on after random times: what is said on two connections overtakes itself."""
    choice = random.Random(seed)
    tasks = set()

    async def passing(reader, writer):
        try:
            while data := await reader.read(4096):
                await asyncio.sleep(choice.random() * slowest)
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
        with suppress(asyncio.CancelledError):  # at the end, where nobody is left to be told
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
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
