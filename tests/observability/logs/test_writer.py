"""A log whose stream is stuck, closed, shared or forked."""

import asyncio
import fcntl
import json
import os
import subprocess
import sys
import threading

import pytest

from agentinfra.observability.logging import Logging, get_logger
from agentinfra.settings import LoggingSettings

JSON = LoggingSettings(json_output=True)
log = get_logger("agent.test")


@pytest.fixture
def pipe():
    read, write = os.pipe()
    stream = os.fdopen(write, "w")
    yield read, stream
    stream.close()
    os.close(read)


def _read_all(read):
    os.set_blocking(read, False)
    chunks = []
    while True:
        try:
            chunk = os.read(read, 1 << 20)
        except BlockingIOError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks)


def _room(read):
    return fcntl.fcntl(read, fcntl.F_GETPIPE_SZ)


async def test_a_stuck_pipe_holds_nobody_up(pipe):
    """A pipe that nobody reads takes what it can; the rest waits, and nobody waits for it."""
    read, stream = pipe
    lines = 2 * _room(read) // 200
    async with Logging(JSON, stream=stream) as logging:
        for number in range(lines):
            log.info("event", number=number, text="x" * 200)
        assert logging.dropped == 0
        taken = threading.Thread(target=lambda: chunks.append(_drain(read, lines)))
        chunks: list[list[bytes]] = []
        taken.start()
        await asyncio.to_thread(taken.join)
    assert [json.loads(line)["number"] for line in chunks[0]] == list(range(lines))


def _drain(read, lines):
    got = b""
    while got.count(b"\n") < lines:
        got += os.read(read, 1 << 16)
    return got.splitlines()


async def test_what_a_stuck_pipe_never_takes_is_counted(pipe):
    """Closing gives a stuck stream its time, then drops what waits and counts it."""
    read, stream = pipe
    async with Logging(JSON, stream=stream) as logging:
        for number in range(3 * _room(read) // 1000):
            log.info("event", number=number, text="x" * 1000)
    written = _read_all(read).count(b"\n")
    assert logging.dropped > 0
    assert written + logging.dropped in (3 * _room(read) // 1000, 3 * _room(read) // 1000 + 1)


async def test_the_queue_is_bounded(pipe):
    """Beyond ten thousand lines that wait, later ones are dropped at once and counted."""
    read, stream = pipe
    async with Logging(JSON, stream=stream) as logging:
        fits = _room(read) // 100
        for number in range(10_000 + 2 * fits):
            log.info("event", number=number)
        assert 0 < logging.dropped < 2 * fits


async def test_a_line_never_goes_to_another_file(tmp_path):
    """What waits for a stream that is closed meanwhile is not written to who got its number."""
    read, write = os.pipe()
    stream = os.fdopen(write, "w")
    async with Logging(JSON, stream=stream):
        for number in range(2 * _room(read) // 200):
            log.info("event", number=number, text="x" * 200)
        stream.close()
        other = os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY)
        assert other == write
        threading.Thread(target=_read_all, args=(read,)).start()
    assert (tmp_path / "other").read_bytes() == b""
    os.close(other)
    os.close(read)


async def test_long_lines_of_two_logs_on_one_stream_stay_whole():
    """Lines longer than a pipe takes in one piece are not torn by other loops' logs."""
    read, write = os.pipe()
    got: list[bytes] = []

    def drain():
        while chunk := os.read(read, 1 << 16):
            got.append(chunk)

    reader = threading.Thread(target=drain)
    reader.start()
    with os.fdopen(write, "w") as stream:

        async def elsewhere(number):
            async with Logging(JSON, stream=stream):
                for _ in range(50):
                    log.info("x", text=f"{number}" * 15_000)

        await asyncio.gather(*(asyncio.to_thread(asyncio.run, elsewhere(n)) for n in range(3)))
    reader.join()
    os.close(read)
    assert len([json.loads(line) for line in b"".join(got).splitlines()]) == 150


PROGRAM = """
import os, sys
from agentinfra import get_logger
log = get_logger("x")
log.warning("before")
if os.fork() == 0:
    log.warning("child")
    os._exit(0)
os.wait()
log.warning("after")
os.kill(os.getpid(), 9)
"""


def test_forked_and_killed_processes_lose_no_line():
    """A child logs like its parent, and a process that is killed has written what it logged."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events == ["before", "child", "after"]
