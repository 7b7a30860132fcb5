"""The server as a program."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from agentinfra.errors import ConfigurationError
from agentinfra.testing import OpenAIServer, RateLimits, assert_no_leaks, serve

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = """
import asyncio
from agentinfra.testing import serve
asyncio.run(serve())
"""


class Page(io.StringIO):
    """Output that says when it has been flushed."""

    def __init__(self):
        super().__init__()
        self.flushed = asyncio.Event()

    def flush(self):
        """Tell that something was printed."""
        self.flushed.set()


async def test_it_says_where_it_listens():
    """It prints its URL and the environment for OpenAI's clients, and serves until cancelled."""
    async with assert_no_leaks():
        page = Page()
        task = asyncio.create_task(serve(out=page, models=["tiny"]))
        await page.flushed.wait()
        url, _, base, key = page.getvalue().splitlines()
        assert base == f"export OPENAI_BASE_URL={url}"
        assert key == "export OPENAI_API_KEY=any"
        async with aiohttp.ClientSession() as session, session.get(f"{url}/models") as reply:
            assert [model["id"] for model in (await reply.json())["data"]] == ["tiny"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_its_key_is_not_printed():
    """A key it was given is asked for and not printed."""
    page = Page()
    limits = RateLimits(requests_per_minute=1)
    task = asyncio.create_task(serve(out=page, api_key="sk-secret", limits=limits))
    await page.flushed.wait()
    assert "secret" not in page.getvalue()
    url = page.getvalue().splitlines()[0]
    async with aiohttp.ClientSession() as session, session.get(f"{url}/models") as reply:
        assert reply.status == 401
    task.cancel()
    await asyncio.wait({task})


async def test_taken_port():
    """A port that is taken is a clear error."""
    async with OpenAIServer() as server:
        port = int(server.root_url.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match="give another port"):
            await serve(port=port, out=io.StringIO())


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
async def test_signals_end_it(number):
    """SIGINT and SIGTERM end the program cleanly."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    line = await process.stdout.readline()
    assert line.startswith(b"http://127.0.0.1:")
    process.send_signal(number)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
