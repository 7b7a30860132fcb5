"""Leaving: what comes out of the block, in what time, and what is said of what went wrong."""

import asyncio
import time

import pytest

from agentinfra import ClosedError, InfraRuntime, NotStartedError, Resource
from agentinfra.testing import OpenAIServer, RateLimits, assert_no_leaks

BLOCKS = ["returns", "raises", "is cancelled", "times out", "exits"]
CLOSINGS = ["right", "optional raises", "required raises", "hangs"]
SECONDS = 0.3


class Part(Resource):
    """Closes in the way a test says."""

    name = "part"

    def __init__(self, closing):
        super().__init__()
        self.closing = closing

    async def _close(self):
        if self.closing.endswith("raises"):
            raise ConnectionError("the other side is gone")
        if self.closing == "hangs":
            await asyncio.Event().wait()


async def _block(block, timeout):
    if block == "raises":
        raise ValueError("the block's own")
    if block == "exits":
        raise SystemExit(3)
    if block == "times out":
        timeout.reschedule(asyncio.get_running_loop().time())
        await asyncio.Event().wait()
    if block == "is cancelled":
        asyncio.current_task().cancel()
        await asyncio.sleep(0)
    return "the block's value"


async def _run(rt, block):
    """Return what came out, exceptions too: a SystemExit must not leave the task of a test."""
    try:
        async with asyncio.timeout(None) as timeout, rt:
            rt.began = time.perf_counter()
            value = await _block(block, timeout)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001
        return error
    return value


@pytest.mark.parametrize("closing", CLOSINGS)
@pytest.mark.parametrize("block", BLOCKS)
async def test_what_comes_out(quiet, block, closing, capfd):
    """The block's own exception as it was; a failing close is a note, a line and a count."""
    rt = InfraRuntime(quiet(runtime={"stop_timeout": SECONDS}))
    rt.own(Part(closing), required=closing == "required raises")
    async with assert_no_leaks():
        task = asyncio.create_task(_run(rt, block))
        await asyncio.wait({task})
        assert time.perf_counter() - rt.began < SECONDS + 5  # bounded: what hangs never ends
    out = None if task.cancelled() else task.result()
    assert task.cancelled() == (block == "is cancelled")

    failed = closing != "right"
    said = "TimeoutError: closing part took longer" if closing == "hangs" else "is gone"
    if block == "returns" and closing == "required raises":
        assert (type(out), str(out)) == (ConnectionError, "the other side is gone")
    elif block == "returns":
        assert out == "the block's value"
    elif block != "is cancelled":
        wanted = {"raises": ValueError, "exits": SystemExit, "times out": TimeoutError}[block]
        assert type(out) is wanted
        noted = out.__cause__ if block == "times out" else out  # asyncio.timeout makes a new one
        notes = "\n".join(getattr(noted, "__notes__", ()))
        assert notes.count("closing part failed") == failed
        assert said in notes or not failed
    logged = capfd.readouterr().err
    assert logged.count("runtime.close_failed") == failed
    assert said in logged or not failed
    counted = 'resource_close_failures_total{resource="part"} 1' in rt.metrics.expose()
    assert counted == failed


async def test_an_exception_group_stays_one(quiet):
    """A group that leaves the block is the very object that was raised."""
    group = ExceptionGroup("two", [ValueError("a"), KeyError("b")])
    with pytest.raises(ExceptionGroup) as caught:
        async with InfraRuntime(quiet()) as rt:
            rt.own(Part("optional raises"))
            await asyncio.sleep(0.001)
            raise group
    assert caught.value is group


async def test_several_required_failures_are_one_error_with_notes(quiet):
    """The first one comes out; the others are said on it."""
    rt = InfraRuntime(quiet())
    for name in ("first", "second"):
        part = Part("required raises")
        part.name = name
        rt.own(part, required=True, needs=["first"] if name == "second" else None)
    with pytest.raises(ConnectionError) as caught:
        async with rt:
            pass
    assert caught.value.__notes__ == [
        "closing first failed: ConnectionError: the other side is gone"
    ]


async def test_a_second_aclose_waits_for_the_first(quiet):
    """Whoever leaves as well returns when everything is closed, and no earlier."""
    go, closed = asyncio.Event(), []

    class Slow(Resource):
        name = "slow"

        async def _close(self):
            await go.wait()
            closed.append(True)

    rt = InfraRuntime(quiet())
    rt.own(Slow())
    await rt.__aenter__()
    first = asyncio.create_task(rt.aclose())
    await asyncio.sleep(0)
    second = asyncio.create_task(rt.aclose())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not second.done()
    go.set()
    await asyncio.gather(first, second)
    assert closed == [True]
    await rt.aclose()


async def test_while_it_is_left_it_says_so(quiet):
    """current() tells a runtime that is being left from one that was never there."""
    said = []

    class Asking(Resource):
        name = "asking"

        async def _close(self):
            try:
                InfraRuntime.current()
            except ClosedError as error:
                said.append(str(error))

    rt = InfraRuntime(quiet())
    rt.own(Asking())
    async with rt:
        pass
    assert len(said) == 1
    assert "is being left: it takes no new work" in said[0]
    with pytest.raises(NotStartedError):
        InfraRuntime.current()


@pytest.fixture
def with_database(quiet, postgres_url):
    return quiet(database={"url": postgres_url}, runtime={"stop_timeout": 20})


async def test_a_generator_that_was_not_exhausted_ends_in_order(with_database, capfd):
    """Its blocks are left while everything they use is still there, by the task that leaves."""
    seen = []

    async def rows(rt):
        try:
            async with rt.db.transaction() as connection:
                async for row in connection.cursor("SELECT generate_series(1, 100) AS n"):
                    yield row["n"]
        finally:
            seen.append((asyncio.current_task(), rt.db.is_open))

    async with assert_no_leaks():
        async with InfraRuntime(with_database) as rt:
            generator = rows(rt)
            async for _ in generator:
                break
            began = time.perf_counter()
        assert time.perf_counter() - began < 4  # of a stop_timeout of 20
    assert seen == [(asyncio.current_task(), True)]
    logged = capfd.readouterr().err
    assert "close_failed" not in logged
    assert "generator" not in logged


async def test_a_lease_that_is_held_is_given_back(with_database, capfd):
    """A block that is left only after the runtime's does not hold its closing up."""
    async with InfraRuntime(with_database) as rt:
        lease = rt.db.connection()
        connection = await lease.__aenter__()
        assert await connection.fetchval("SELECT 1") == 1
        began = time.perf_counter()
    assert time.perf_counter() - began < 4
    assert "close_failed" not in capfd.readouterr().err
    await lease.__aexit__(None, None, None)


async def test_a_generator_that_fails_at_its_end_stops_nothing(quiet, capfd):
    """What it raises is a line in the log; the runtime is left."""

    async def fragile(part):
        with part._working() as _work:
            try:
                yield 1
            finally:
                raise ValueError("fragile")

    part = Part("right")
    rt = InfraRuntime(quiet())
    rt.own(part)
    async with rt:
        generator = fragile(part)
        async for _ in generator:
            break
    assert not part.is_open
    assert "ValueError: fragile" in capfd.readouterr().err


async def test_a_task_that_swallows_cancellations_is_gone_on_without(quiet):
    """Leaving is over in its time; the task is its owner's."""
    part, end = Part("right"), asyncio.Event()
    cancelled = 0

    async def stubborn():
        nonlocal cancelled
        while not end.is_set():
            try:
                with part._working():
                    await end.wait()
            except ClosedError:
                cancelled += 1
                await end.wait()

    rt = InfraRuntime(quiet(runtime={"stop_timeout": 0.1}))
    rt.own(part)
    async with rt:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
    assert cancelled == 1
    assert not part.is_open
    end.set()
    await task


async def test_a_cancellation_of_ones_own_stays_one(quiet):
    """Work that its owner cancelled, and leaving too, ends as cancelled."""
    part = Part("right")
    rt = InfraRuntime(quiet(runtime={"stop_timeout": 0.1}))
    rt.own(part)

    async def work():
        with part._working():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                asyncio.current_task().cancel()
                raise

    async with rt:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
    await asyncio.wait({task})
    assert task.cancelled()


async def test_whoever_waits_for_a_shared_load_is_told(quiet):
    """Closing the caches ends loads; those who wait for them get ClosedError."""
    async with InfraRuntime(quiet()) as rt:

        async def load():
            await asyncio.Event().wait()

        waiting = [
            asyncio.create_task(rt.caches.response.get_or_compute("q", "agent", loader=load))
            for _ in range(3)
        ]
        await asyncio.sleep(0)
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in done] == [ClosedError] * 3


async def test_whoever_waits_for_its_turn_is_told(quiet):
    """A call held back by the pace ends with ClosedError when its time is up."""
    hello = [{"role": "user", "content": "hello"}]
    async with OpenAIServer(limits=RateLimits(requests_per_minute=1)) as server:
        llm = {"base_url": server.base_url, "api_key": "x"}
        async with InfraRuntime(quiet(llm=llm, runtime={"stop_timeout": 0.2})) as rt:
            await rt.llm.chat_completion(hello)
            held = [asyncio.create_task(rt.llm.chat_completion(hello)) for _ in range(3)]
            await asyncio.sleep(0.01)
        done = await asyncio.gather(*held, return_exceptions=True)
    assert {type(each) for each in done} == {ClosedError}


async def test_whoever_waits_for_a_connection_is_told(quiet, postgres_url):
    """A query that found no connection ends with ClosedError, and so does who has it."""
    settings = quiet(database={"url": postgres_url, "max_size": 1}, runtime={"stop_timeout": 1.0})

    async def hold(rt):
        async with rt.db.connection():
            await asyncio.Event().wait()

    async with InfraRuntime(settings) as rt:
        holding = asyncio.create_task(hold(rt))
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(rt.db.query("SELECT 1"))
        await asyncio.sleep(0.01)
    done = await asyncio.gather(holding, waiting, return_exceptions=True)
    assert [type(each) for each in done] == [ClosedError] * 2


async def test_a_part_alone_is_left_in_the_same_way():
    """Entered without a runtime it drains, and tells the block's exception from its own."""
    part, gate = Part("optional raises"), asyncio.Event()

    async def work():
        with part._working():
            await gate.wait()
            return "done"

    with pytest.raises(ValueError, match="the block's own") as caught:
        async with part:
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(gate.set)
            raise ValueError("the block's own")
    assert await task == "done"
    assert caught.value.__notes__ == [
        "closing part failed: ConnectionError: the other side is gone"
    ]
    await part.aclose()
