"""Loops: one that is gone is let go, and what is not a runtime's own loop is told so."""

import asyncio
import gc
import multiprocessing
import weakref

import pytest
import trio

from agentinfra import InfraRuntime, LifecycleError, Resource, WrongLoopError


def test_a_runtime_that_was_never_left_does_not_keep_its_loop(quiet):
    """A loop closed around an entered runtime is collected, and the runtime with it."""
    rt = InfraRuntime(quiet(metrics={"enabled": False}, llm={"enabled": False}))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(rt.__aenter__())
    while asyncio.all_tasks(loop):  # no name of a task may stay here: it would hold the loop
        asyncio.all_tasks(loop).pop().cancel()
        loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    seen = weakref.ref(loop), weakref.ref(rt)
    del loop, rt
    gc.collect()
    assert [each() for each in seen] == [None, None]


def test_under_trio_the_entry_says_what_is_needed(quiet):
    """A runtime and a resource need asyncio, and say so at once."""

    async def enter(resource):
        async with resource:
            raise AssertionError("entered")

    for resource in (InfraRuntime(quiet()), Resource()):
        with pytest.raises(LifecycleError, match="it needs asyncio"):
            trio.run(enter, resource)


def _use(rt, uses, answers):
    async def use():
        for name in uses:
            try:
                await (rt.health() if name == "health" else rt.llm.chat_completion([]))
            except WrongLoopError as error:
                answers.put(str(error))

    asyncio.run(use())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_child_after_fork_is_told_so(quiet):
    """The error names both processes, and the way out."""
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    async with InfraRuntime(quiet()) as rt:
        child = fork.Process(target=_use, args=(rt, ["health", "chat"], answers))
        child.start()
        await asyncio.to_thread(child.join)
        assert child.exitcode == 0
        for _ in range(2):
            answer = answers.get()
            assert f"this one ({child.pid}) is a fork" in answer
            assert "InfraRuntime of its own in each process" in answer
        assert (await rt.health()).ok


async def test_use_outside_of_any_loop_says_so(quiet):
    """A thread without a loop is told where it is."""
    async with InfraRuntime(quiet()) as rt:

        def use():
            with pytest.raises(WrongLoopError, match="outside of any loop"):
                rt.llm._guard()

        await asyncio.to_thread(use)
