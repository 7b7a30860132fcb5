"""Processes that share an endpoint's limits: together as much as it lets through, and no more."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from llm_support import HELLO, run_through

from agentinfra import AsyncLLMClient, Settings
from agentinfra._mechanics.pacer import Pacer
from agentinfra.errors import CacheError
from agentinfra.llm.policy.gate import Gates
from agentinfra.llm.policy.sharing import SharedPace
from agentinfra.testing import OpenAIServer, RateLimits


class Board:
    """A notice board that answers at once, for time that a test moves."""

    def __init__(self, clock):
        self.clock = clock
        self.notes = {}
        self.broken = False
        self.exchanged = asyncio.Event()

    async def exchange(self, notes, *, member, lifetime):
        self.exchanged.set()
        if self.broken:
            raise CacheError("the board is away")
        now = self.clock.now()
        self.notes |= {(topic, member): (text, now + lifetime) for topic, text in notes.items()}
        return [
            (topic, text)
            for (topic, who), (text, until) in self.notes.items()
            if topic in notes and who != member and until > now
        ]

    async def leave(self, member):
        self.notes = {key: note for key, note in self.notes.items() if key[1] != member}


@pytest.fixture
def board(clock):
    return Board(clock)


async def _played(clock, board, limits, calls, *, tokens=None):
    """Have as many clients as there are numbers make so many calls each, at once."""
    more = {} if tokens is None else {"max_tokens": tokens}
    async with OpenAIServer(limits=limits, clock=clock.now, sleep=clock.sleep) as server:
        given = {"base_url": server.base_url, "api_key": "k", "max_attempts": 10}
        settings = Settings(llm=given).llm
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(AsyncLLMClient(settings, clock=clock, board=board))
                for _ in calls
            ]
            began = clock.now()
            work = asyncio.gather(
                *(
                    client.chat_completion(HELLO, **more)
                    for client, count in zip(clients, calls, strict=True)
                    for _ in range(count)
                )
            )
            await run_through(clock, asyncio.ensure_future(work), step=0.1, limit=20_000)
            took = clock.now() - began
        assert board.notes == {}
        refused = sum(record.status == 429 for record in server.ledger.requests)
        return took, refused, server.ledger.count()


@pytest.mark.parametrize("calls", [(80, 80, 80, 80), (290, 10, 10, 10), (320,)])
async def test_together_they_send_what_one_would(clock, board, calls):
    """At most 2 % refused, at least 90 % of the allowed rate, however the work is spread."""
    took, refused, sent = await _played(clock, board, RateLimits(requests_per_minute=300), calls)
    assert refused <= 0.02 * sent
    # 300 are there at the start, the other 20 come at 5 a second.
    assert took <= 4 / 0.9 + 1


async def test_tokens_are_shared_alike(clock, board):
    """Each of four takes a part of what all may use."""
    limits = RateLimits(requests_per_minute=100_000, tokens_per_minute=15_000)
    took, refused, sent = await _played(clock, board, limits, (40,) * 4, tokens=100)
    assert refused <= 0.02 * sent
    assert took <= (160 * 100 - 15_000) / 250 / 0.9 + 1


def _pacer(clock, shared, topic="t"):
    pacer = Pacer(max_running=100, max_queued=100, clock=clock, limited=lambda: None)
    shared.follow(topic, pacer)
    return pacer


async def _beats(clock, count=8):
    for _ in range(count):
        for _ in range(20):
            await asyncio.sleep(0)
        clock.shift(0.25)
    for _ in range(20):
        await asyncio.sleep(0)


async def test_shares_follow_the_demand_and_come_back_from_the_dead(clock, board):
    """Who wants more gets more; who says nothing for a while wants nothing."""
    one, two = SharedPace(board, clock), SharedPace(board, clock)
    mine, theirs = _pacer(clock, one), _pacer(clock, two)
    held = [mine.try_acquire(1) for _ in range(12)]
    for _ in range(4):
        theirs.try_acquire(1)
    await _beats(clock)
    mine.told(limits={"requests": (100.0, 80.0, 60.0)})
    theirs.told(limits={"requests": (100.0, 80.0, 60.0)})
    assert (mine.window, theirs.window) == (75, 25)
    two._beats.cancel()  # killed: it takes nothing down
    await _beats(clock, 16)
    mine.told(limits={"requests": (100.0, 80.0, 60.0)})
    assert mine.window == 100
    assert len(held) == 12
    await one.aclose()
    await two.aclose()


async def test_a_refusal_of_one_is_a_pause_for_all(clock, board):
    """As long as the server asks for, and never longer than its word is fresh."""
    one, two = SharedPace(board, clock), SharedPace(board, clock)
    mine, theirs = _pacer(clock, one), _pacer(clock, two)
    for pacer in (mine, theirs):
        pacer.try_acquire(1)
    await _beats(clock)
    mine.refused(retry_after=10.0)
    await _beats(clock, 4)
    assert 0 < theirs.blocked <= 3
    await one.aclose()
    await two.aclose()


async def test_without_the_board_each_goes_on_as_it_is(clock, board):
    """Who never heard of others takes all; who did keeps its share."""
    board.broken = True
    shared = SharedPace(board, clock)
    pacer = _pacer(clock, shared)
    pacer.told(limits={"requests": (100.0, 100.0, 60.0)})
    await _beats(clock)
    assert shared.failing == "the board is away"
    gates = Gates(max_running=1, max_queued=1, clock=clock, shared=shared)
    assert gates.weakness == "limits are not shared with other processes: the board is away"
    assert pacer.expected_wait(1) == 0.0
    assert pacer.window == 100
    board.broken = False
    pacer.try_acquire(1)
    await _beats(clock)
    assert shared.failing == ""
    await shared.aclose()


async def test_nothing_is_said_of_a_server_that_shows_no_limits(client_of, server, board, clock):
    """A program of its own never asks the board."""
    settings = Settings(llm={"base_url": server.base_url, "api_key": "k"}).llm
    async with AsyncLLMClient(settings, board=board) as llm:
        await llm.chat_completion(HELLO)
    assert not board.exchanged.is_set()
