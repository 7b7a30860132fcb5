"""The leak check finds what is left, and nothing else."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading

import pytest

from agentinfra.testing import assert_no_leaks
from agentinfra.testing.leaks import _sockets


async def test_clean_block():
    """A block that leaves nothing passes, whatever it opened meanwhile."""
    async with assert_no_leaks():
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()


async def test_task_is_named():
    """A task that runs on is a leak that shows its name and its function."""
    gate = asyncio.Event()

    async def lingering():
        await gate.wait()

    with pytest.raises(AssertionError, match=r"task left-behind \(.*lingering\)"):
        async with assert_no_leaks(grace=0):
            task = asyncio.create_task(lingering(), name="left-behind")
    gate.set()
    await task


async def test_ending_task_is_waited_for():
    """A task that is about to end is no leak."""
    async with assert_no_leaks():
        task = asyncio.create_task(asyncio.sleep(0.005))
    assert task.done()


async def test_socket_is_named():
    """An open socket is a leak that shows its address."""
    with pytest.raises(AssertionError, match=r"descriptor \d+ socket AF_INET \('127\.0\.0\.1'"):
        async with assert_no_leaks(grace=0):
            left = socket.create_server(("127.0.0.1", 0))
    left.close()


async def test_file_is_named(tmp_path):
    """An open file is a leak that shows its path."""
    with pytest.raises(AssertionError, match=r"descriptor \d+ .*left\.txt"):
        async with assert_no_leaks(grace=0):
            left = (tmp_path / "left.txt").open("w")
    left.close()


async def test_thread_is_named():
    """A running thread is a leak that shows its name."""
    gate = threading.Event()
    left = threading.Thread(target=gate.wait, name="left-behind")
    with pytest.raises(AssertionError, match="thread left-behind"):
        async with assert_no_leaks(grace=0):
            left.start()
    gate.set()
    left.join()


async def test_default_executor_is_the_loops():
    """The threads of the loop's default executor are no leak."""
    async with assert_no_leaks(grace=0):
        await asyncio.to_thread(os.getpid)


async def test_process_is_named():
    """A child process is a leak, also one that has ended and was not waited for."""
    code = "import sys; sys.stdin.read()"
    with pytest.raises(AssertionError, match=r"process \d+ .*python"):
        async with assert_no_leaks(grace=0):
            left = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, stdin=subprocess.PIPE
            )
    left.stdin.close()
    await left.wait()


async def test_what_may_stay_is_ignored():
    """A leak whose name holds an ignored text is none."""
    gate = asyncio.Event()
    async with assert_no_leaks(grace=0, ignore=["known-"]):
        task = asyncio.create_task(gate.wait(), name="known-task")
    gate.set()
    await task


async def test_error_of_the_block_goes_first():
    """A block that raises shows its own error, not its leaks."""
    gate = asyncio.Event()
    tasks = []

    async def failing():
        async with assert_no_leaks(grace=0):
            tasks.append(asyncio.create_task(gate.wait()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    gate.set()
    await asyncio.gather(*tasks)


async def test_all_leaks_are_listed():
    """The error counts the leaks and names every one."""
    gate = asyncio.Event()
    with pytest.raises(AssertionError, match=r"2 leaked: task one .*; task two "):
        async with assert_no_leaks(grace=0):
            tasks = [asyncio.create_task(gate.wait(), name=name) for name in ("one", "two")]
    gate.set()
    await asyncio.gather(*tasks)


def test_without_a_loop():
    """Start and check compare without a block and without an event loop."""
    check = assert_no_leaks()
    check.start()
    left = socket.create_server(("127.0.0.1", 0))
    assert len(check.leaks()) == 1
    left.close()
    check.check()


def test_without_a_list_of_descriptors():
    """Where the system lists no descriptors, open sockets are found among the live objects."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        number = opened.fileno()
        assert any(name.startswith(f"{number} socket AF_INET") for _, name in _sockets())
    assert not any(key.startswith(f"{number} {id(opened)}") for key, _ in _sockets())


def test_check_needs_a_start():
    """A check that was not started says what to do."""
    with pytest.raises(RuntimeError, match="call start"):
        assert_no_leaks().check()
