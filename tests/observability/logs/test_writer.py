"""A log whose stream is stuck, closed, shared or forked."""

import asyncio
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

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
        reader = threading.Thread(target=_read_all, args=(read,))
        reader.start()
    reader.join()
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


@pytest.fixture
def full_disk():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full disk")
    with Path("/dev/full").open("w") as stream:
        yield stream


async def test_a_disk_with_room_again_is_written_again(full_disk, tmp_path):
    """A stream that refused lines takes the next ones as soon as it can; those lost are counted."""
    room = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
    async with Logging(JSON, stream=full_disk) as logging:
        for number in range(3):
            log.info("lost", number=number)
        lost = await logging.probe()
        os.dup2(room, full_disk.fileno())
        await asyncio.sleep(0.002)  # a refusal is believed for a millisecond
        log.info("written")
        found = await logging.probe()
    os.close(room)
    assert logging.dropped == 3
    assert (lost.state, lost.reason.split()[0]) == ("degraded", "3")
    assert found.state == "ready"
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert events == ["written"]


async def test_a_socket_that_nobody_reads_holds_nobody_up():
    """A stream that is no pipe, as a journal's socket, is asked for room before each line."""
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("w") as stream:
        async with Logging(JSON, stream=stream):

            def talk():
                for number in range(5_000):
                    log.info("event", number=number, text="x" * 200)
                    if number == 2_000:
                        half.set()

            half = threading.Event()
            talker = threading.Thread(target=talk, daemon=True)
            talker.start()
            assert await asyncio.to_thread(half.wait, 30)
            await asyncio.to_thread(talker.join, 30)
            assert not talker.is_alive()


async def test_a_program_without_stderr_counts_its_lines(monkeypatch):
    """Without a stderr, as in a program without a console, lines are dropped and counted."""
    monkeypatch.setattr(sys, "stderr", None)
    async with Logging(JSON) as logging:
        log.info("nowhere")
        health = await logging.probe()
    assert (logging.dropped, health.state) == (1, "degraded")
    assert "stderr" in health.reason


ENDING = """
import sys
from agentinfra import get_logger
for number in range(1_000):
    get_logger("x").info("event", number=number, text="x" * 200)
print("logged", flush=True)
"""


def test_what_waits_when_a_program_ends_is_written():
    """A program that ends while its stream is stuck gives the stream time to take what waits."""
    command = [sys.executable, "-c", ENDING]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as program:
        assert program.stdout.readline() == "logged\n"
        numbers = [json.loads(line)["number"] for line in program.stderr]
    assert numbers == list(range(1_000))


FORKING = """
import os, sys
from agentinfra import get_logger
log = get_logger("x")
for number in range(1_000):
    log.info("event", number=number, text="x" * 200)
child = os.fork()
log.info("child" if child == 0 else "parent")
if child:
    print("forked", flush=True)
    os.wait()
"""


def test_a_fork_while_the_stream_is_stuck_loses_no_line():
    """What waits at a fork is written once, by the parent; both go on to log."""
    command = [sys.executable, "-c", FORKING]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as program:
        assert program.stdout.readline() == "forked\n"
        lines = [json.loads(line) for line in program.stderr]
    numbers = [line["number"] for line in lines if line["event"] == "event"]
    assert numbers == list(range(1_000))
    assert sorted({line["event"] for line in lines} - {"event"}) == ["child", "parent"]


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
