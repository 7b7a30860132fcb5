"""A user's own resources, in the runtime's levels, health and leaving."""

import asyncio
import sys
from contextlib import asynccontextmanager

import anyio
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.server.mcpserver import MCPServer

from agentinfra import (
    ClosedError,
    ConfigurationError,
    InfraRuntime,
    LifecycleError,
    NotStartedError,
    Resource,
    WrongLoopError,
)
from agentinfra.testing import ManualClock, assert_no_leaks

SERVER = """
import os
from mcp.server.mcpserver import MCPServer
server = MCPServer("sums")

@server.tool()
def add(a: int, b: int) -> int:
    return a + b

@server.tool()
def die() -> str:
    os._exit(1)

server.run("stdio")
"""


class Queue(Resource):
    """A resource as a user writes one."""

    name = "queue"

    def __init__(self, log, *, fails=None, needs_db=None):
        super().__init__()
        self.log, self.fails, self.db = log, fails, needs_db

    async def _open(self):
        if self.fails:
            raise self.fails
        self.task = asyncio.current_task()
        self.log.append(f"+{self.name} {self.db.is_open if self.db else ''}".strip())

    async def _close(self):
        same = asyncio.current_task() is getattr(self, "task", None)
        self.log.append(f"-{self.name} {self.db.is_open if self.db else ''}".strip())
        if self.is_open:
            assert same, "opened and closed in different tasks"

    async def put(self, gate):
        with self._working():
            await gate.wait()
            return "put"


@pytest.fixture
def sums():
    return StdioServerParameters(command=sys.executable, args=["-c", SERVER])


async def _check(client):
    await client.list_tools(cache_mode="bypass")


async def test_a_session_serves_many_tasks_and_is_restarted_when_it_breaks(quiet, sums, capfd):
    """A real MCP session over stdio: no cancel scope complains, and health shows the break."""
    rt = InfraRuntime(quiet(logging={"level": "info", "json_output": True}))
    tools = rt.own(lambda: Client(sums), name="tools", check=_check)

    async def add(number):
        async with tools.use() as client:
            return (await client.call_tool("add", {"a": number, "b": 1})).structured_content

    async with assert_no_leaks(), rt:
        assert (await rt.health())["tools"].state == "ready"
        sums_of = await asyncio.gather(*(add(number) for number in range(20)))
        assert [each["result"] for each in sums_of] == list(range(1, 21))
        with pytest.raises(MCPError):
            async with tools.use() as client:
                await client.call_tool("die", {})
        broken = (await rt.health())["tools"]
        assert broken.state == "failed"
        assert "Connection closed" in broken.reason
        assert 'resource_degraded{resource="tools"} 1' in rt.metrics.expose()
        assert (await add(41))["result"] == 42  # waits for the new session
        assert (await rt.health())["tools"].state == "ready"
        assert 'resource_degraded{resource="tools"} 0' in rt.metrics.expose()
    logged = capfd.readouterr().err
    assert "runtime.resource_lost" in logged
    assert "runtime.resource_restarted" in logged
    assert "cancel scope" not in logged


async def test_a_session_given_as_it_is_is_used_once(quiet):
    """An open session works from any task; broken it stays so, and the reason says what to do."""
    server = MCPServer("sums")
    server.tool(name="add")(_add)
    healthy = True

    async def check(client):
        if not healthy:
            raise ConnectionError("gone")

    rt = InfraRuntime(quiet())
    tools = rt.own(Client(server), name="tools", check=check)
    async with rt:
        async with tools.use() as client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).structured_content
        healthy = False
        row = (await rt.health())["tools"]
        assert row.state == "failed"
        assert "gone; give own() a function that makes it" in row.reason
        with pytest.raises(LifecycleError, match="tools cannot be used: .*gone"):
            async with tools.use():
                pass


def _add(a: int, b: int) -> int:
    return a + b


async def test_attempts_to_restart_pause_longer_and_longer(quiet):
    """A service that stays away is tried again after 0.5, 1, 2 ... seconds until it is back."""
    clock, there, attempts = ManualClock(), True, []

    @asynccontextmanager
    async def service():
        attempts.append(clock.now() - 1000.0)
        if not there:
            raise ConnectionRefusedError("nobody listens")
        yield "hello"

    async def check(_):
        if not there:
            raise ConnectionResetError("reset")

    rt = InfraRuntime(quiet(metrics={"enabled": False}), clock=clock)
    mine = rt.own(service, check=check)
    async with rt:
        there = False
        await rt.health()
        for pause in (0.5, 1.0, 2.0):
            await clock.sleepers(1)
            with pytest.raises(LifecycleError, match="nobody listens"):
                async with mine.use():
                    pass
            await clock.advance(pause)
        await clock.sleepers(1)
        there = True
        await clock.advance(4.0)
        await _until(lambda: mine.state == "ready")
        async with mine.use() as value:
            assert value == "hello"
    assert attempts == [0.0, 0.0, 0.5, 1.5, 3.5, 7.5]


async def test_a_check_that_hangs_says_broken(quiet):
    """Health waits for it no longer than for any resource, and the block is made anew."""
    clock, entered = ManualClock(), 0

    @asynccontextmanager
    async def service():
        nonlocal entered
        entered += 1
        yield entered

    async def check(number):
        if number == 1:
            await asyncio.Event().wait()

    rt = InfraRuntime(quiet(metrics={"enabled": False}), clock=clock)
    mine = rt.own(service, check=check)
    async with rt:
        asking = asyncio.create_task(rt.health())
        while not mine._checking.locked():  # noqa: ASYNC110
            await asyncio.sleep(0)
        await clock.advance(3.0)
        row = (await asking)["service"]
        assert (row.state, row.reason) == ("failed", "its check did not end within 3 s")
        async with mine.use() as number:
            assert number == 2


async def _until(holds):
    while not holds():  # noqa: ASYNC110 - the other side is a task of the runtime's own
        await asyncio.sleep(0)


async def test_a_block_that_breaks_by_itself_is_noticed(quiet):
    """When a task group inside cancels its host, nobody else's task is cancelled."""
    break_it = asyncio.Event()
    entered = 0

    async def pump():
        await break_it.wait()
        raise ConnectionResetError("the other side is gone")

    @asynccontextmanager
    async def session():
        nonlocal entered
        entered += 1
        async with anyio.create_task_group() as group:
            if entered == 1:
                group.start_soon(pump)
            yield entered
            group.cancel_scope.cancel()

    rt = InfraRuntime(quiet())
    mine = rt.own(session)
    async with rt:
        break_it.set()
        await _until(lambda: mine.state == "failed")
        assert "the other side is gone" in mine.reason
        async with mine.use() as number:
            assert number == 2


async def test_it_stands_in_the_levels(quiet):
    """By default it is opened after everything of the runtime's, and closed before."""
    log = []
    rt = InfraRuntime(quiet())
    queue = Queue(log, needs_db=rt.caches)
    assert rt.own(queue) is queue
    async with rt:
        assert (await rt.health())["queue"].state == "ready"
        assert (await queue.opened()) is queue
    assert log == ["+queue True", "-queue True"]


async def test_one_may_need_another(quiet):
    """`needs` decides on the order, whatever is added later."""
    log = []
    rt = InfraRuntime(quiet())
    first, second = Queue(log), Queue(log)
    first.name, second.name = "first", "second"
    rt.own(first, needs=["logging"])
    rt.own(second, needs=["first"])
    async with rt:
        pass
    assert log == ["+first", "+second", "-second", "-first"]
    with pytest.raises(ConfigurationError, match="'third' needs 'nobody', which the runtime has"):
        third = Queue(log)
        third.name = "third"
        InfraRuntime(quiet()).own(third, needs=["nobody"])


async def test_its_work_is_drained(quiet):
    """Leaving waits for what runs on it, and refuses what is new."""
    rt, gate = InfraRuntime(quiet()), asyncio.Event()
    queue = rt.own(Queue([]))
    async with rt:
        running = asyncio.create_task(queue.put(gate))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(gate.set)
    assert await running == "put"
    with pytest.raises(ClosedError):
        await queue.put(gate)


@pytest.mark.parametrize("entered", [False, True])
async def test_one_that_cannot_open_is_degraded(quiet, entered):
    """The runtime runs; the row says why, and so does waiting for it."""
    rt = InfraRuntime(quiet())
    if not entered:
        queue = rt.own(Queue([], fails=OSError("port closed")))
    async with rt:
        if entered:
            queue = rt.own(Queue([], fails=OSError("port closed")))
        with pytest.raises(NotStartedError, match="port closed"):
            await queue.opened()
        row = (await rt.health())["queue"]
        assert (row.state, row.reason) == ("degraded", "port closed")


async def test_a_required_one_that_cannot_open_fails_the_entry(quiet):
    """As the runtime's own: everything is undone, and its error comes out."""
    log = []
    rt = InfraRuntime(quiet())
    rt.own(Queue(log, fails=OSError("port closed")), required=True)
    async with assert_no_leaks():
        with pytest.raises(OSError, match="port closed"):
            await rt.__aenter__()


async def test_what_comes_later_is_opened_at_once(quiet):
    """After entering it is opened beside what runs, and closed first."""
    log = []
    async with InfraRuntime(quiet()) as rt:
        queue = rt.own(Queue(log, needs_db=rt.llm))
        await queue.opened()
        assert (await rt.health())["queue"].state == "ready"
    assert log == ["+queue True", "-queue True"]
    with pytest.raises(ClosedError):
        rt.own(Queue(log))


async def test_leaving_while_it_opens_undoes_it(quiet):
    """A late one that hangs while it opens neither stays nor holds anything up."""
    ended = asyncio.Event()

    @asynccontextmanager
    async def slow():
        try:
            await asyncio.Event().wait()
            yield
        finally:
            ended.set()

    async with assert_no_leaks(), InfraRuntime(quiet()) as rt:
        rt.own(slow)
        for _ in range(10):
            await asyncio.sleep(0)
    assert ended.is_set()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (lambda: None, "has no name of its own"),
        (3, "give it a Resource, an async context manager, or a function"),
        (Queue, "give it a Resource, an async context manager, or a function"),
    ],
)
def test_what_cannot_be_owned_is_refused(quiet, given, complaint):
    """The error says what to give."""
    with pytest.raises(ConfigurationError, match=complaint):
        InfraRuntime(quiet()).own(given)


def test_a_name_stands_once(quiet):
    """Two resources of one name would be one row in health."""
    rt = InfraRuntime(quiet())
    rt.own(Queue([]))
    with pytest.raises(ConfigurationError, match="a resource named 'queue' already"):
        rt.own(Queue([]))
    with pytest.raises(ConfigurationError, match="a resource named 'database' already"):
        rt.own(lambda: None, name="database")


def test_it_is_owned_in_the_runtimes_own_loop(quiet):
    """Another loop may not add to a runtime."""
    with asyncio.Runner() as home, asyncio.Runner() as abroad:
        rt = InfraRuntime(quiet())
        home.run(rt.__aenter__())

        async def add():
            rt.own(Queue([]))

        with pytest.raises(WrongLoopError):
            abroad.run(add())
        home.run(rt.aclose())
