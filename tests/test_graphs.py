"""Graphs whose nodes are seen without a line in them."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from agentinfra import InfraRuntime, Settings, get_logger, instrument_graph
from agentinfra.errors import ConfigurationError
from agentinfra.observability.nodes import agent_span, tool_span


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


OFF = {"enabled": False}
THREAD = {"configurable": {"thread_id": "alice"}}


def inner_graph() -> Any:
    inner = StateGraph(State)
    inner.add_node("ask", lambda state: {"log": [interrupt("what?")]})
    inner.add_edge(START, "ask")
    return inner.compile()


def graph_of(**nodes: Any) -> StateGraph[Any]:
    graph = StateGraph(State)
    before = START
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    return graph


@pytest.fixture
async def rt():
    settings = Settings(llm=OFF, database=OFF, cache=OFF, checkpointer={"backend": "memory"})
    async with InfraRuntime(settings) as rt:
        yield rt


@pytest.fixture
def ended(rt):
    spans: list[Any] = []
    rt.tracing.subscribe(spans.append)
    return spans


async def plan(state: State) -> State:
    return {"log": ["plan"]}


def act(state: State) -> State:
    return {"log": ["act"]}


async def test_every_node_has_its_span_and_series(rt, ended):
    """Asynchronous and synchronous nodes are recorded under their names and the agent's."""
    graph = graph_of(plan=plan, act=act).compile()
    state = await instrument_graph(graph, agent="sales").ainvoke({"log": []})
    assert state["log"] == ["plan", "act"]
    assert [span.name for span in ended] == ["agent.node plan", "agent.node act"]
    assert 'requests_total{agent="sales",node="plan"} 1' in rt.metrics.expose()
    assert 'node_latency_ms_count{node="plan"} 1' in rt.metrics.expose()
    await graph.ainvoke({"log": []})
    assert len(ended) == 2, "the graph it was made from is as it was"


async def test_agents_and_tools_have_spans_of_their_own(rt, ended):
    """Runs of agents and tools are spans by the conventions' names, and nest as they run."""
    with (
        agent_span("sales", conversation="t", model="m", provider="anthropic") as agent,
        rt.node("plan", agent="sales") as node,
        tool_span("look", call_id="c1", kind="datastore"),
    ):
        pass
    tool, _, whole = ended
    assert (tool.name, tool.parent_id) == ("execute_tool look", node.span_id)
    assert (whole.name, node.parent_id) == ("invoke_agent sales", agent.span_id)
    assert dict(tool.attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.type": "datastore",
        "gen_ai.tool.call.id": "c1",
    }
    assert dict(whole.attributes) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "sales",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.conversation.id": "t",
        "gen_ai.request.model": "m",
    }


async def test_checkpoints_are_spans_of_the_run(rt, ended):
    """Operations of the saver are spans that name the conversation."""
    graph = instrument_graph(graph_of(plan=plan).compile(checkpointer=rt.checkpointer))
    await graph.ainvoke({"log": []}, THREAD)
    saved = [span for span in ended if span.name.startswith("checkpoint ")]
    assert {span.name for span in saved} >= {"checkpoint get", "checkpoint put"}
    assert {span.attributes["gen_ai.conversation.id"] for span in saved} == {"alice"}


async def test_an_interrupt_in_a_subgraph_is_no_error_and_is_resumed(rt, ended):
    """Subgraphs are seen inside; waiting for an answer is no failure of anybody's."""
    graph = graph_of(plan=plan, inner=inner_graph()).compile(checkpointer=rt.checkpointer)
    graph = instrument_graph(graph)
    assert "__interrupt__" in await graph.ainvoke({"log": []}, THREAD)
    nodes = [span for span in ended if span.name.startswith("agent.node")]
    assert [span.name[11:] for span in nodes] == ["plan", "ask", "inner"]
    assert {span.error for span in nodes} == {None}
    assert (await graph.aget_state(THREAD, subgraphs=True)).tasks[0].state.next == ("ask",)
    state = await graph.ainvoke(Command(resume="42"), THREAD)
    assert state["log"][-1] == "42"


async def test_pieces_stream_through(rt, ended):
    """Streams of values, updates and subgraphs are what they are without."""
    plain = graph_of(plan=plan, inner=graph_of(act=act).compile()).compile()
    modes: dict[str, Any] = {"stream_mode": ["updates", "values"], "subgraphs": True}

    async def streamed(graph: Any) -> list[Any]:
        pieces = [piece async for piece in graph.astream({"log": []}, **modes)]
        return [(len(place), mode, data) for place, mode, data in pieces]

    assert await streamed(instrument_graph(plain)) == await streamed(plain)


async def test_lines_of_a_node_say_which_one_it_is(rt, capfd):
    """Whatever a node logs carries its name and the agent's."""

    async def talk(state: State) -> State:
        get_logger("shop").warning("shop.closed")
        return {"log": []}

    await instrument_graph(graph_of(talk=talk).compile(), agent="sales").ainvoke({"log": []})
    line = next(text for text in "".join(capfd.readouterr()).splitlines() if "shop.closed" in text)
    assert '"node":"talk"' in line
    assert '"agent":"sales"' in line


class Chat(TypedDict):
    messages: Annotated[list[Any], operator.add]


@tool
async def weather(city: str) -> str:
    """Say the weather."""
    if city == "Atlantis":
        raise ValueError("no such city")
    get_logger("shop").warning("weather.asked")
    return f"rain in {city}"


@tool
def approve(what: str) -> str:
    """Ask a human."""
    return str(interrupt(what))


def calling(*calls: tuple[str, dict[str, Any]]) -> Chat:
    wanted = [{"name": name, "args": args, "id": f"c{n}"} for n, (name, args) in enumerate(calls)]
    return {"messages": [AIMessage("", tool_calls=wanted)]}


def tools_graph(node: Any) -> StateGraph[Any]:
    graph = StateGraph(Chat)
    graph.add_node("tools", node)
    graph.add_edge(START, "tools")
    return graph


async def test_every_tool_has_its_span_series_and_context(rt, ended, capfd):
    """Each call of a tool is recorded inside of its node, whatever became of it."""
    node = ToolNode([weather, approve], handle_tool_errors=True)
    graph = instrument_graph(tools_graph(node).compile(), agent="sales")
    asked = calling(
        ("weather", {"city": "Bern"}), ("weather", {"city": "Atlantis"}), ("invented", {})
    )
    answers = (await graph.ainvoke(asked))["messages"][1:]
    assert [answer.status for answer in answers] == ["success", "error", "error"]
    spans = {span.attributes["gen_ai.tool.call.id"]: span for span in ended[:-1]}
    assert [spans[f"c{n}"].name for n in range(3)] == [
        *("execute_tool weather", "execute_tool weather", "execute_tool unknown")
    ]
    assert {span.parent_id for span in spans.values()} == {ended[-1].span_id}
    assert [bool(spans[f"c{n}"].error) for n in range(3)] == [False, True, True]
    page = rt.metrics.expose()
    assert 'tool_seconds_count{tool="weather",outcome="ok"} 1' in page
    assert 'tool_seconds_count{tool="weather",outcome="error"} 1' in page
    line = next(text for text in capfd.readouterr().err.splitlines() if "weather.asked" in text)
    assert '"tool":"weather"' in line
    assert len(ended) == 4
    await tools_graph(node).compile().ainvoke(calling(("weather", {"city": "Bern"})))
    assert len(ended) == 4, "the node it was made from is as it was"


async def test_a_tool_that_asks_a_human_has_not_failed(rt, ended):
    """An interrupt in a tool is no error, and is resumed as ever."""
    graph = tools_graph(ToolNode([approve])).compile(checkpointer=rt.checkpointer)
    graph = instrument_graph(graph)
    assert "__interrupt__" in await graph.ainvoke(calling(("approve", {"what": "?"})), THREAD)
    (span,) = [span for span in ended if span.name.startswith("execute_tool")]
    assert span.error is None
    state = await graph.ainvoke(Command(resume="yes"), THREAD)
    assert state["messages"][-1].content == "yes"


async def test_errors_and_wrappers_of_tools_are_as_without(rt, ended):
    """What a node of tools does not handle comes out, and a user's own wrapper is called."""
    wrapped: list[str] = []

    async def wrap(request: Any, execute: Any) -> Any:
        wrapped.append(request.tool_call["name"])
        return await execute(request)

    strict = instrument_graph(tools_graph(ToolNode([weather], handle_tool_errors=False)).compile())
    with pytest.raises(ValueError, match="no such city"):
        await strict.ainvoke(calling(("weather", {"city": "Atlantis"})))
    assert ended[0].error is not None
    mine = instrument_graph(tools_graph(ToolNode([weather], awrap_tool_call=wrap)).compile())
    await mine.ainvoke(calling(("weather", {"city": "Bern"})))
    assert wrapped == ["weather"]


def test_without_a_runtime_nodes_run_as_ever():
    """Outside of any runtime there is nobody to record them."""
    graph = instrument_graph(graph_of(act=act).compile())
    assert graph.invoke({"log": []})["log"] == ["act"]


def test_only_compiled_graphs_are_taken():
    """A builder is refused with what to do."""
    with pytest.raises(ConfigurationError, match=r"builder.compile\(\)"):
        instrument_graph(graph_of(act=act))  # type: ignore[type-var]
