"""What was open before keeps its own threads, connections and slots: none is the block's leak."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import asyncpg
import psycopg_pool
import pytest

from agentinfra import Database
from agentinfra.settings import DatabaseSettings
from agentinfra.testing import assert_no_leaks


async def test_what_a_runtime_keeps_is_its_own(openai_server, infra_runtime):
    """A pooled connection of a runtime that was open before is no leak of the block."""
    async with assert_no_leaks(grace=0):
        await infra_runtime.llm.chat_completion([{"role": "user", "content": "hello"}])


async def test_executors_that_were_open_grow():
    """Threads that an executor starts for more work are its own; those of a new one are not."""
    loop, gate = asyncio.get_running_loop(), threading.Barrier(3)
    with ThreadPoolExecutor(3) as executor:
        await loop.run_in_executor(executor, os.getpid)
        async with assert_no_leaks(grace=0):
            await asyncio.gather(*(loop.run_in_executor(executor, gate.wait) for _ in range(3)))
    with pytest.raises(AssertionError, match="thread ThreadPoolExecutor"):
        async with assert_no_leaks(grace=0):
            left = ThreadPoolExecutor(1)
            await loop.run_in_executor(left, os.getpid)
    left.shutdown()


async def test_workers_of_anyio_are_its_own():
    """A thread that anyio keeps for more work is no leak; a token nobody gives back is."""
    limiter = anyio.CapacityLimiter(1)
    async with assert_no_leaks(grace=0):
        await anyio.to_thread.run_sync(os.getpid, limiter=limiter)
    with pytest.raises(AssertionError, match="slot of CapacityLimiter, 1 taken"):
        async with assert_no_leaks(grace=0):
            await limiter.acquire_on_behalf_of("left")


async def test_pools_of_the_database_grow(postgres_url):
    """Connections that open pools add are theirs, libpq's own too; one not given back is a leak."""
    async with (
        asyncpg.create_pool(postgres_url, min_size=1, max_size=3) as asyncs,
        psycopg_pool.AsyncConnectionPool(postgres_url, min_size=1, max_size=3) as psycopgs,
        Database(DatabaseSettings(), url=postgres_url) as db,
    ):
        await psycopgs.wait()
        async with assert_no_leaks():
            async with asyncs.acquire(), asyncs.acquire():
                pass
            async with psycopgs.connection(), psycopgs.connection():
                pass
            await asyncio.gather(*(db.query("SELECT 1") for _ in range(3)))
        for pool, take, give in (
            (asyncs, asyncs.acquire, asyncs.release),
            (psycopgs, psycopgs.getconn, psycopgs.putconn),
        ):
            with pytest.raises(AssertionError, match=f"slot of {type(pool).__name__}, 1 taken"):
                async with assert_no_leaks(grace=0):
                    left = await take()
            await give(left)
