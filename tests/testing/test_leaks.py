"""The leak check finds what is left, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import warnings

import aiohttp
import pytest

from agentinfra import bind_context, clear_context
from agentinfra.testing import assert_no_leaks


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
    """A block that raises shows its own error, with its leaks as a note."""
    gate, tasks = asyncio.Event(), []

    async def failing():
        async with assert_no_leaks(grace=0):
            tasks.append(asyncio.create_task(gate.wait(), name="left"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        await failing()
    assert "1 leaked: task left" in raised.value.__notes__[0]
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


def test_a_block_without_a_loop():
    """In sync code the check is a plain block, which waits for what is ending as well."""
    gate = threading.Event()
    with assert_no_leaks():
        ending = threading.Thread(target=gate.wait, args=(0.01,))
        ending.start()
    with pytest.raises(AssertionError, match="thread left-behind"), assert_no_leaks(grace=0):
        left = threading.Thread(target=gate.wait, name="left-behind")
        left.start()
    with pytest.raises(ZeroDivisionError) as raised, assert_no_leaks(grace=0):
        another = threading.Thread(target=gate.wait, name="another")
        another.start()
        raise ZeroDivisionError
    assert "1 leaked: thread another" in raised.value.__notes__[0]
    gate.set()
    for thread in (ending, left, another):
        thread.join()


async def test_what_was_frozen_was_there():
    """Objects that somebody keeps from the garbage collector are not taken for new ones."""
    gate = asyncio.Event()
    task = asyncio.create_task(gate.wait())
    await asyncio.sleep(0)
    gc.freeze()
    async with assert_no_leaks(grace=0):
        gc.unfreeze()
    gate.set()
    await task


def test_without_a_loop():
    """Start and check compare without a block and without an event loop."""
    check = assert_no_leaks()
    check.start()
    left = socket.create_server(("127.0.0.1", 0))
    assert len(check.leaks()) == 1
    left.close()
    check.check()


def test_check_needs_a_start():
    """A check that was not started says what to do."""
    with pytest.raises(RuntimeError, match="call start"):
        assert_no_leaks().check()


async def test_a_new_task_is_not_taken_for_one_that_has_ended():
    """What is compared are the objects: an address that is used again hides nothing."""
    for _ in range(20):
        gate = asyncio.Event()
        old = [asyncio.create_task(gate.wait()) for _ in range(5)]
        check = assert_no_leaks(grace=0)
        check.start()
        gate.set()
        await asyncio.wait(old)
        old.clear()
        left = asyncio.create_task(asyncio.sleep(60))
        assert len(check.leaks()) == 1
        left.cancel()


async def _suspended():
    generator = _counting()
    await anext(generator)
    return generator


async def _counting():
    for number in range(3):
        yield number


async def _failed():
    async def fail():
        raise ValueError("lost")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    return task


async def _timer():
    return asyncio.get_running_loop().call_later(3600, print)


async def _slot():
    semaphore = asyncio.Semaphore(1)
    await semaphore.acquire()
    return semaphore


async def _bound():
    bind_context(user="ada")


async def _session():
    return aiohttp.ClientSession()


async def _never_awaited():
    return [asyncio.sleep(1)]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_suspended, "async generator _counting"),
        (
            _failed,
            r"failed task nobody awaited .*fail.*test_leaks.py:\d+ in _failed",
        ),
        (_timer, "timer print in 3.6e"),
        (_slot, "slot of Semaphore"),
        (_bound, "context field user"),
        (_session, "client aiohttp.client.ClientSession is open"),
        (_never_awaited, r"coroutine never awaited sleep, made at .*test_leaks.py:\d+"),
    ],
)
async def test_more_than_tasks_is_found(make, told):
    """Whatever outlives the block is named, with the line that made it where that is known."""
    left = None
    with pytest.raises(AssertionError, match=told):
        async with assert_no_leaks(grace=0):
            left = await make()
    match left:
        case asyncio.TimerHandle():
            left.cancel()
        case aiohttp.ClientSession():
            await left.close()
        case asyncio.Task():
            left.exception()
        case [coroutine]:
            coroutine.close()
        case None:
            clear_context()
        case asyncio.Semaphore():
            left.release()
        case generator:
            await generator.aclose()


async def test_a_slot_of_a_pool_that_was_there_is_found():
    """A semaphore that lets in fewer than before has lost a slot in the block."""
    pool = asyncio.Semaphore(5)
    async with pool:
        with pytest.raises(AssertionError, match="slot of Semaphore, 1 taken"):
            async with assert_no_leaks(grace=0):
                await pool.acquire()
    pool.release()


async def test_circles_of_references_are_no_leak():
    """What the garbage collector takes away has not been left behind."""
    async with assert_no_leaks(grace=0):
        circle = [socket.create_server(("127.0.0.1", 0))]
        circle.append(circle)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del circle
            gc.collect()


async def test_blocks_nest():
    """An inner check takes nothing from the outer one."""
    with pytest.raises(AssertionError, match="1 leaked: task outer"):
        async with assert_no_leaks(grace=0):
            task = asyncio.create_task(asyncio.sleep(60), name="outer")
            async with assert_no_leaks(grace=0):
                await asyncio.sleep(0)
    task.cancel()


async def test_a_failed_task_nobody_held_is_found():
    """A task that failed and is gone, error and all, is told with the line that made it."""
    loop, logged = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: logged.append(context["exception"]))

    async def fail():
        raise ValueError("lost")

    with pytest.raises(AssertionError, match=r"1 leaked: failed task .*fail.*test_leaks.py:\d+"):
        async with assert_no_leaks(grace=0):
            asyncio.create_task(fail())  # noqa: RUF006
            await asyncio.sleep(0)
    assert [str(error) for error in logged] == ["lost"]


async def test_a_failed_task_in_a_circle_is_found():
    """What takes a failed task away at the check itself does not make it unseen."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    async def fail():
        raise ValueError("lost")

    with pytest.raises(AssertionError, match="failed task"):
        async with assert_no_leaks(grace=0):
            circle = [asyncio.create_task(fail())]
            circle.append(circle)
            await asyncio.sleep(0)
            del circle


async def test_the_handler_of_the_loop_is_given_back():
    """Whoever handled the loop's complaints does so again, in the block too."""
    loop = asyncio.get_running_loop()

    def handler(loop, context):
        """Do nothing."""

    loop.set_exception_handler(handler)
    async with assert_no_leaks():
        pass
    assert loop.get_exception_handler() is handler


@pytest.mark.parametrize("kind", ["thread", "daemon", "file", "socket", "process", "fork"])
async def test_what_was_made_is_told_with_its_line(kind, tmp_path):
    """Threads, files, sockets and processes are named with the line of the program."""
    closers = []
    with pytest.raises(AssertionError, match=r"made at .*test_leaks.py:\d+ in _made"):
        async with assert_no_leaks(grace=0):
            _made(kind, tmp_path, closers)
    for close in closers:
        close()


def _made(kind, folder, closers):
    if kind in ("thread", "daemon"):
        gate = threading.Event()
        left = threading.Thread(target=gate.wait, daemon=kind == "daemon")
        left.start()
        closers += [gate.set, left.join]
    elif kind == "file":
        closers.append((folder / "left").open("w").close)
    elif kind == "socket":
        closers.append(socket.socket().close)
    elif kind == "process":
        left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        closers += [left.stdin.close, left.wait]
    else:
        gate = multiprocessing.get_context("fork").Event()
        left = multiprocessing.get_context("fork").Process(target=gate.wait)
        left.start()
        closers += [gate.set, left.join]


async def test_a_timer_is_told_with_its_function():
    """A timer has no line that made it; it is named with the place of what it calls."""
    with pytest.raises(AssertionError, match=r"timer .*_rung of .*test_leaks.py:\d+ in 3.6e"):
        async with assert_no_leaks(grace=0):
            left = asyncio.get_running_loop().call_later(3600, _rung)
    left.cancel()


def _rung():
    """Do nothing."""


async def test_proxies_are_left_alone():
    """The check asks no object of others for its class: lazy proxies would make what they mean."""

    class Lazy:
        asked = 0

        @property
        def __class__(self):
            Lazy.asked += 1
            return dict

    proxies = [Lazy(), [Lazy()]]
    async with assert_no_leaks():
        proxies.append({"another": Lazy()})
    assert Lazy.asked == 0
