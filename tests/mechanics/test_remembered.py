"""Answers that are costly to get are asked for seldom."""

import asyncio

import pytest

from agentinfra._mechanics.remembered import Remembered


async def test_an_answer_holds_for_its_seconds(clock):
    """Within them it is given again, after them it is asked for anew."""
    answers = iter(range(10))

    async def ask():
        return next(answers)

    remembered = Remembered(ask, seconds=lambda answer: 5.0 if answer else 1.0, clock=clock)
    assert [await remembered.get(), await remembered.get()] == [0, 0]
    await clock.advance(1.5)
    assert await remembered.get() == 1
    await clock.advance(4.5)
    assert await remembered.get() == 1


async def test_those_who_ask_at_once_share_an_answer(clock):
    """One asks, all are told."""
    asked = 0
    go = asyncio.Event()

    async def ask():
        nonlocal asked
        asked += 1
        await go.wait()
        return asked

    remembered = Remembered(ask, seconds=lambda _: 5.0, clock=clock)
    waiting = [asyncio.create_task(remembered.get()) for _ in range(5)]
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*waiting) == [1] * 5


async def test_who_asks_may_be_cancelled(clock):
    """The others are not: the next one asks."""
    go = asyncio.Event()

    async def ask():
        await go.wait()
        return "answer"

    remembered = Remembered(ask, seconds=lambda _: 5.0, clock=clock)
    first, second = (asyncio.create_task(remembered.get()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    assert await second == "answer"


async def test_what_asking_raises_is_not_remembered(clock):
    """The next one asks again."""
    outcomes = iter([ValueError("x"), "answer"])

    async def ask():
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    remembered = Remembered(ask, seconds=lambda _: 5.0, clock=clock)
    with pytest.raises(ValueError, match="x"):
        await remembered.get()
    assert await remembered.get() == "answer"
