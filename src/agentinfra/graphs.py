"""Graphs whose nodes are seen: each run of a node gets its span, its series and its log context.

Importing this module imports langgraph.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.runnables import Runnable
from langgraph.prebuilt.tool_node import ToolNode
from langgraph.pregel import Pregel

from agentinfra.errors import ConfigurationError, LifecycleError
from agentinfra.runtime import InfraRuntime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager

    from langchain_core.runnables import RunnableConfig
    from langgraph.prebuilt.tool_node import ToolCallRequest
    from langgraph.pregel._read import PregelNode

__all__ = ["instrument_graph"]

Graph = TypeVar("Graph", bound=Pregel[Any, Any, Any, Any])

_START = "__start__"


def instrument_graph(graph: Graph, *, agent: str = "default") -> Graph:
    """Return a copy of a compiled graph in which every node is recorded, and every tool.

    A run of a node is what ``rt.node(name, agent=...)`` around its code would record, on the
    runtime of the loop it runs in; the nodes of subgraphs are seen too. In a ``ToolNode`` each
    tool has a span, a series and a log context of its own. Interrupts and commands are no errors.
    Outside of any runtime nodes run as ever, and are not seen. A runtime that is left waits for
    the nodes under way, and lets their graphs save what came of them. A graph that a node calls
    from its own code is not seen: give it the same treatment where it is compiled.

    Args:
        graph: What ``StateGraph.compile()`` returned; it stays as it is.
        agent: The agent that the nodes belong to, for labels and spans.

    Raises:
        ConfigurationError: It is no compiled graph.
    """
    if not isinstance(graph, Pregel):
        raise ConfigurationError(
            f"instrument_graph takes a compiled graph, not {type(graph).__name__}: "
            "give it what builder.compile() returns"
        )
    runtime = _running()
    nodes = {
        name: node if name == _START else _seen(node, name, agent, runtime)
        for name, node in graph.nodes.items()
    }
    seen = graph.copy()
    seen.nodes = nodes
    return seen


def _seen(node: PregelNode, name: str, agent: str, runtime: InfraRuntime | None) -> PregelNode:
    bound = node.bound
    if isinstance(bound, SeenNode):
        return node
    inner = bound
    if isinstance(bound, Pregel):
        inner = instrument_graph(bound, agent=agent)
    elif isinstance(bound, ToolNode):
        inner = _with_seen_tools(bound, agent, runtime)
    subgraphs = [inner if subgraph is bound else subgraph for subgraph in node.subgraphs]
    seen = SeenNode(inner, name=name, agent=agent, runtime=runtime)
    return node.copy({"bound": seen, "subgraphs": subgraphs})


def _with_seen_tools(node: ToolNode, agent: str, runtime: InfraRuntime | None) -> ToolNode:
    seen = copy.copy(node)
    kind = type(node)
    if not issubclass(kind, SeenTools):
        # The class that runs its tools one by one, whatever a user's own adds to that.
        seen.__class__ = type(f"Seen{kind.__name__}", (SeenTools, kind), {})
    seen.func, seen.afunc = seen._func, seen._afunc  # noqa: SLF001 - else they run the original
    vars(seen).update(_seen_agent=agent, _seen_runtime=runtime)
    return seen


class SeenTools(ToolNode):
    """A node of tools, each run of which is recorded."""

    _seen_agent: str
    _seen_runtime: InfraRuntime | None

    def _execute_tool_sync(self, request: ToolCallRequest, *args: Any, **kwargs: Any) -> Any:
        with self._tool(request) as failed:
            return _told(super()._execute_tool_sync(request, *args, **kwargs), failed)

    async def _execute_tool_async(self, request: ToolCallRequest, *args: Any, **kwargs: Any) -> Any:
        with self._tool(request) as failed:
            return _told(await super()._execute_tool_async(request, *args, **kwargs), failed)

    def _tool(self, request: ToolCallRequest) -> AbstractContextManager[Any]:
        runtime = _running() or self._seen_runtime
        if runtime is None:
            return nullcontext()
        # A name that no tool has is a model's invention, of which there may be any number.
        name = request.tool.name if request.tool is not None else "unknown"
        call = str(request.tool_call.get("id") or "")
        return runtime.nodes.tool(name, agent=self._seen_agent, call=call)


def _told(answer: Any, failed: Callable[[str], None] | None) -> Any:
    if failed is not None and getattr(answer, "status", None) == "error":
        failed("tool_error")
    return answer


class SeenNode(Runnable[Any, Any]):
    """What a node runs, recorded.

    Args:
        bound: What it runs.
        name: The node's name.
        agent: The agent it belongs to.
        runtime: Where runs outside of any event loop are recorded; None records none of them.
    """

    def __init__(
        self, bound: Runnable[Any, Any], *, name: str, agent: str, runtime: InfraRuntime | None
    ) -> None:
        self.name = name
        self._bound = bound
        self._agent = agent
        self._runtime = runtime

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Run the node, recorded."""
        with self._run():
            return self._bound.invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Run the node, recorded."""
        with self._held(), self._run():
            return await self._bound.ainvoke(input, config, **kwargs)

    def stream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Run the node piece by piece, recorded."""
        with self._run():
            yield from self._bound.stream(input, config, **kwargs)

    async def astream(
        self,
        input: Any,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """Run the node piece by piece, recorded."""
        with self._held(), self._run():
            async for piece in self._bound.astream(input, config, **kwargs):
                yield piece

    def _held(self) -> AbstractContextManager[Any]:
        """Have a runtime that is left wait for the node: its outcome is still to be saved."""
        runtime = _running() or self._runtime
        try:
            return nullcontext() if runtime is None else runtime.checkpoints.saving()
        except LifecycleError:
            return nullcontext()

    def _run(self) -> AbstractContextManager[Any]:
        runtime = _running() or self._runtime
        if runtime is None:
            return nullcontext()
        return runtime.nodes.run(self.name or "", agent=self._agent)


def _running() -> InfraRuntime | None:
    try:
        return InfraRuntime.current()
    except LifecycleError:  # there is none, or it is being left while the graph may still end
        return None
