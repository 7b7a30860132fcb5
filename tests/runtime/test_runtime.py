"""The runtime: one for each loop, degraded rather than broken, gone without a trace."""

import asyncio
import threading

import pytest

from agentinfra import (
    ClosedError,
    DatabaseError,
    InfraRuntime,
    LifecycleError,
    NotStartedError,
    Settings,
    WrongLoopError,
    get_checkpointer,
    get_llm_client,
    start_span,
)
from agentinfra.testing import OpenAIServer, assert_no_leaks, faults

HELLO = [{"role": "user", "content": "hello"}]


def _settings(url, **more):
    groups = {
        "llm": {"base_url": url, "api_key": "x"},
        "database": {"enabled": False},
        "checkpointer": {"backend": "memory"},
        "logging": {"level": "error"},
    }
    return Settings(**{**groups, **more})


async def test_it_is_found_from_anywhere_in_its_loop(openai_server):
    """current() and the shortcuts give the loop's runtime, in child tasks too."""
    async with InfraRuntime(_settings(openai_server.base_url)) as rt:

        async def child():
            return InfraRuntime.current(), get_llm_client(), get_checkpointer()

        assert await asyncio.create_task(child()) == (rt, rt.llm, rt.checkpointer)
    with pytest.raises(NotStartedError, match="async with InfraRuntime"):
        InfraRuntime.current()


async def test_a_loop_has_one_runtime(openai_server):
    """A second entry names both and leaves the first alone."""
    first = InfraRuntime(_settings(openai_server.base_url))
    second = InfraRuntime(_settings(openai_server.base_url))
    async with first:
        with pytest.raises(LifecycleError) as caught:
            await second.__aenter__()
        assert hex(id(first))[2:] in str(caught.value)
        assert hex(id(second))[2:] in str(caught.value)
        with pytest.raises(LifecycleError, match="already entered"):
            await first.__aenter__()
        assert (await first.llm.chat_completion(HELLO)).text
    with pytest.raises(ClosedError, match="make a new one"):
        await first.__aenter__()


async def test_use_before_and_after_is_an_error(openai_server):
    """Each use outside of the block says what to do."""
    rt = InfraRuntime(_settings(openai_server.base_url))
    with pytest.raises(NotStartedError):
        await rt.health()
    with pytest.raises(NotStartedError):
        await rt.db.query("SELECT 1")
    with pytest.raises(NotStartedError):
        rt.checkpointer  # noqa: B018
    async with rt:
        pass
    for use in (rt.health(), rt.llm.chat_completion(HELLO), rt.db.query("SELECT 1")):
        with pytest.raises(ClosedError):
            await use
    await rt.aclose()


def test_another_loop_is_an_error_that_names_both():
    """Neither the runtime nor a resource works on a loop that is not its own."""
    with asyncio.Runner() as home, asyncio.Runner() as abroad:
        rt = InfraRuntime(_settings("http://127.0.0.1:9/v1"))
        home.run(rt.__aenter__())
        for use in (rt.health, rt.aclose, lambda: rt.llm.chat_completion(HELLO)):
            with pytest.raises(WrongLoopError, match=r"0x\w+ and was used from loop 0x\w+"):
                abroad.run(_awaited(use))
        home.run(rt.aclose())


async def _awaited(use):
    return await use()


async def test_a_database_that_is_away_degrades_its_part_only(openai_server, capsys):
    """The rest works; log, metric and health say what is missing."""
    url = "postgresql://u:hidden@127.0.0.1:9/d"
    settings = _settings(
        openai_server.base_url,
        database={"url": url},
        checkpointer={},
        logging={"json_output": True},
    )
    async with InfraRuntime(settings) as rt:
        health = await rt.health()
        assert {row.name: row.state for row in health.resources} == {
            "llm": "ready",
            "database": "degraded",
            "cache": "ready",
            "checkpointer": "degraded",
            "store": "degraded",
            "logging": "ready",
            "metrics": "ready",
            "tracing": "ready",
        }
        assert "127.0.0.1" in health["database"].reason
        assert "durable" in health["checkpointer"].reason
        assert (await rt.llm.chat_completion(HELLO)).text
        with pytest.raises(DatabaseError):
            await rt.db.query("SELECT 1")
        assert 'resource_degraded{resource="database"} 1' in rt.metrics.expose()
    logged = capsys.readouterr().err
    assert "runtime.resource_degraded" in logged
    assert "hidden" not in logged


async def test_a_required_resource_fails_the_entry(openai_server):
    """What is open is rolled back, and the loop is free again."""
    settings = _settings(
        openai_server.base_url,
        database={"url": "postgresql://u@127.0.0.1:9/d"},
        runtime={"required": ["database"]},
    )
    async with assert_no_leaks():
        with pytest.raises(DatabaseError):
            async with InfraRuntime(settings):
                raise AssertionError("entered")
    async with InfraRuntime(_settings(openai_server.base_url)) as rt:
        assert InfraRuntime.current() is rt


@pytest.mark.parametrize("steps", [0, 1, 3, 10, 40, 120])
async def test_cancelled_while_entering_leaves_nothing(openai_server, steps):
    """At whatever step the entry is cancelled, everything is undone."""
    async with InfraRuntime(_settings(openai_server.base_url)):
        pass  # imports done
    async with assert_no_leaks():
        task = asyncio.create_task(InfraRuntime(_settings(openai_server.base_url)).__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        (entered,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(entered, InfraRuntime):
            await entered.aclose()
    with pytest.raises(NotStartedError):
        InfraRuntime.current()


@pytest.mark.parametrize("cancels", [1, 2])
async def test_cancelled_while_leaving_closes_everything_first(openai_server, cancels):
    """One or two cancellations of the leaving task do not leave anything open."""
    async with assert_no_leaks():
        entered, hold = asyncio.Event(), asyncio.Event()

        async def agent():
            async with InfraRuntime(_settings(openai_server.base_url)) as rt:
                await rt.llm.chat_completion(HELLO)
                entered.set()
                await hold.wait()

        task = asyncio.create_task(agent())
        await entered.wait()
        hold.set()
        for _ in range(cancels):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await openai_server.wait_until_idle()


async def test_leaving_lets_running_calls_end(openai_server):
    """A call under way is answered; a new one is refused."""
    openai_server.fail(faults.slow(first_byte=0.05))
    async with InfraRuntime(_settings(openai_server.base_url)) as rt:
        call = asyncio.create_task(rt.llm.chat_completion(HELLO))
        await openai_server.wait_for_requests(1)
    assert (await call).text


async def test_leaving_ends_what_hangs(openai_server):
    """A call that does not end in time is ended, and its caller told why."""
    openai_server.fail(faults.hang())
    settings = _settings(openai_server.base_url, runtime={"stop_timeout": 0.05})
    async with InfraRuntime(settings) as rt:
        call = asyncio.create_task(rt.llm.chat_completion(HELLO))
        await openai_server.wait_for_requests(1)
    with pytest.raises(ClosedError, match="did not end in time"):
        await call


async def test_a_node_is_counted_timed_and_traced(openai_server):
    """The user's own series come from one with statement."""
    spans = []
    async with InfraRuntime(_settings(openai_server.base_url)) as rt:
        rt.tracing.subscribe(spans.append)
        async with start_span("question"):
            with rt.node("plan", agent="analytics"):
                await rt.llm.chat_completion(HELLO)
        page = rt.metrics.expose()
    assert 'requests_total{agent="analytics",node="plan"} 1' in page
    assert 'node_latency_ms_count{node="plan"} 1' in page
    by_name = {span.name: span for span in spans}
    chat, node, root = by_name["chat gpt-4o-mini"], by_name["agent.node plan"], by_name["question"]
    assert (chat.parent_id, node.parent_id) == (node.span_id, root.span_id)
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0


@pytest.fixture
def server_in_a_thread():
    """Give a server on a loop of its own, so that many loops can call it."""
    server, ready, stop = OpenAIServer(), threading.Event(), None

    async def serve():
        nonlocal stop
        stop = asyncio.Event()
        async with server:
            ready.set()
            await stop.wait()

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=runner.run, args=(serve(),))
        thread.start()
        ready.wait()
        yield server
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _agent(settings, calls):
    async with InfraRuntime(settings) as rt:
        replies = await asyncio.gather(*(rt.llm.chat_completion(HELLO) for _ in range(calls)))
        rows = await rt.db.query("SELECT 1 AS one")
        assert rows[0]["one"] == 1
        return [reply.text for reply in replies]


def test_fifty_loops_one_after_another(server_in_a_thread, postgres_url):
    """Every call is answered, once each at the server, and nothing is left of any loop."""
    settings = _settings(
        server_in_a_thread.base_url, database={"url": postgres_url}, checkpointer={}
    )
    asyncio.run(_agent(settings, 1))
    check = assert_no_leaks()
    check.start()
    texts = [text for _ in range(50) for text in asyncio.run(_agent(settings, 2))]
    asyncio.run(check.settle())  # the server's thread has its own ends of the connections to close
    check.check()
    assert len(texts) == 100
    assert all(texts)
    assert server_in_a_thread.ledger.count() == 101


def test_eight_threads_with_a_loop_each(server_in_a_thread, postgres_url):
    """Runtimes of several loops do not touch one another."""
    settings = _settings(
        server_in_a_thread.base_url, database={"url": postgres_url}, checkpointer={}
    )
    results, before = [], server_in_a_thread.ledger.count()

    def run():
        results.append(asyncio.run(_agent(settings, 5)))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(texts) for texts in results] == [5] * 8
    assert server_in_a_thread.ledger.count() - before == 40
