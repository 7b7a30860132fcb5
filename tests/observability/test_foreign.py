"""Beside a program's own OpenTelemetry: its provider, its spans, its context."""

import json
import subprocess
import sys

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider

from agentinfra.observability.logging import Logging, get_logger
from agentinfra.observability.tracing import Tracing, start_span, trace_headers
from agentinfra.settings import LoggingSettings, TracingSettings

THEIRS = TracerProvider().get_tracer("program")


@pytest.mark.parametrize("settings", [TracingSettings(), TracingSettings(exporter="console")])
async def test_ours_stand_under_theirs_and_theirs_under_ours(settings):
    """With and without an exporter, a span stands under the innermost one, whoever made it."""
    async with Tracing(settings):
        with THEIRS.start_as_current_span("request") as request:
            context = request.get_span_context()
            with start_span("ours") as ours:
                assert ours.trace_id == f"{context.trace_id:032x}"
                assert ours.parent_id == f"{context.span_id:016x}"
                with THEIRS.start_as_current_span("inner") as inner, start_span("last") as last:
                    assert last.parent_id == f"{inner.get_span_context().span_id:016x}"
                with start_span("again") as again:
                    assert again.parent_id == ours.span_id


async def test_lines_carry_the_ids_of_whoevers_span(stream):
    """A line inside of a program's own span has that span's ids, inside of ours it has ours."""
    log = get_logger("x")
    async with Logging(LoggingSettings(json_output=True), stream=stream):
        with THEIRS.start_as_current_span("request") as request:
            log.info("theirs")
            with start_span("ours") as ours:
                log.info("ours")
            log.info("theirs")
        log.info("nobody's")
    ids = [(event.get("trace_id"), event.get("span_id")) for event in stream.events]
    context = request.get_span_context()
    theirs = (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert ids == [theirs, (ours.trace_id, ours.span_id), theirs, (None, None)]


async def test_headers_of_whoevers_span():
    """The way out is continued from the innermost span, the program's own too."""
    with THEIRS.start_as_current_span("request") as request:
        context = request.get_span_context()
        expected = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
        assert trace_headers() == {"traceparent": expected}


async def test_the_state_of_whoevers_trace_goes_on():
    """A ``tracestate`` that other instrumentation took in is sent on by ours."""
    above = trace.SpanContext(
        int("ab" * 16, 16),
        int("cd" * 8, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(1),
        trace_state=trace.TraceState([("vendor", "1")]),
    )
    with trace.use_span(trace.NonRecordingSpan(above)):
        assert trace_headers()["tracestate"] == "vendor=1"
    async with Tracing(TracingSettings(exporter="console")):
        with trace.use_span(trace.NonRecordingSpan(above)), start_span("ours"):
            assert trace_headers()["tracestate"] == "vendor=1"


async def test_baggage_that_came_in_is_everybodys():
    """Baggage of a request is in OpenTelemetry's context inside of its span, and goes on."""
    headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "baggage": "tenant=acme,plan=b%20c"}
    async with Tracing(TracingSettings(exporter="console")):
        with start_span("handle", parent=headers), start_span("inside"):
            assert baggage.get_all() == {"tenant": "acme", "plan": "b c"}
            assert trace_headers()["baggage"] == "tenant=acme,plan=b+c"
            token = context.attach(baggage.remove_baggage("plan"))
            assert trace_headers()["baggage"] == "tenant=acme"
            context.detach(token)
        assert not baggage.get_all()


@pytest.mark.parametrize("settings", [TracingSettings(), TracingSettings(exporter="console")])
async def test_baggage_of_the_program_goes_out(settings):
    """What a program puts into its baggage goes out with and without a span around it."""
    async with Tracing(settings):
        token = context.attach(baggage.set_baggage("tenant", "acme"))
        assert trace_headers() == {"baggage": "tenant=acme"}
        with start_span("ask") as span:
            assert trace_headers() == {"traceparent": span.traceparent, "baggage": "tenant=acme"}
        context.detach(token)


PROGRAM = """
import asyncio, json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from agentinfra.observability.tracing import Tracing, start_span
from agentinfra.settings import TracingSettings

kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)

details = []

async def main():
    async with Tracing(TracingSettings(provider=sys.argv[1])) as tracing:
        details.append((await tracing.probe()).detail)
        with trace.get_tracer("program").start_as_current_span("request"):
            with start_span("ours", {"api_key": "k", "n": 1}, kind="client"):
                with trace.get_tracer("program").start_as_current_span("inner"):
                    pass
    with start_span("after"):
        pass

asyncio.run(main())
provider.force_flush()
print(json.dumps([
    *([detail, None, None, None] for detail in details),
    *([s.name, s.parent and s.parent.span_id, s.context.span_id, dict(s.attributes)]
    for s in kept.get_finished_spans())
]))
"""


def _spans(provider):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, provider], capture_output=True, text=True, check=True
    )
    return {name: (parent, own, rest) for name, parent, own, rest in json.loads(done.stdout)}


def test_a_provider_the_program_has_set_gets_our_spans():
    """Ours stand in the program's trace, at their place, without secrets; it stays open."""
    spans = _spans("auto")
    assert set(spans) == {"the tracer provider of the program", "request", "ours", "inner"}
    assert spans["ours"][0] == spans["request"][1]
    assert spans["inner"][0] == spans["ours"][1]
    assert spans["ours"][2] == {"api_key": "[redacted]", "n": 1}


AGENT = """
import asyncio, json, operator
from typing import Annotated, TypedDict
from langgraph.graph import START, StateGraph
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from agentinfra import InfraRuntime, Settings, instrument_graph, start_span
from agentinfra.errors import LLMError
from agentinfra.observability.nodes import agent_span, tool_span
from agentinfra.testing import OpenAIServer, faults

kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
HELLO = [{"role": "user", "content": "hello"}]

class State(TypedDict):
    said: Annotated[list[str], operator.add]

async def main():
    off = {"enabled": False}
    with OpenAIServer() as server:
        llm = {"base_url": server.base_url, "api_key": "k", "max_attempts": 1}
        settings = Settings(llm=llm, database=off, cache=off, logging=off)
        async with InfraRuntime(settings) as rt:
            with trace.get_tracer("program").start_as_current_span("request"):
                with agent_span("sales"):
                    await answer(rt, server)

async def answer(rt, server):
    async def ask(state):
        return {"said": [(await rt.llm.chat_completion(HELLO)).text]}

    def look(state):
        with tool_span("look"):
            return {"said": ["seen"]}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_node("look", look)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "look")
    graph = instrument_graph(graph.compile(checkpointer=rt.checkpointer), agent="sales")
    await graph.ainvoke({"said": []}, {"configurable": {"thread_id": "t"}})

    async def words():
        async with await rt.llm.chat_completion(HELLO, stream=True) as stream:
            async for event in stream:
                yield event

    async for _ in words():
        pass
    await asyncio.gather(*(rt.llm.get_embeddings([text]) for text in "ab"))
    server.fail(faults.unauthorized())
    try:
        await rt.llm.chat_completion(HELLO)
    except LLMError:
        pass
    with start_span("work"):
        await asyncio.to_thread(lambda: start_span("in a thread").__enter__().end())

asyncio.run(main())
spans = kept.get_finished_spans()
ids = {span.context.span_id for span in spans}
print(json.dumps([
    [span.name, span.context.trace_id, span.parent is None or span.parent.span_id in ids]
    for span in spans
]))
"""


def test_every_span_of_an_agent_is_in_the_programs_trace():
    """Calls, streams, nodes, tools, checkpoints, threads: all stand under the program's span."""
    done = subprocess.run(
        [sys.executable, "-c", AGENT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    spans = json.loads(done.stdout)
    assert {trace_id for _, trace_id, _ in spans} == {spans[-1][1]}
    assert spans[-1][0] == "request"
    assert all(has_its_parent for _, _, has_its_parent in spans)
    names = [name for name, _, _ in spans]
    assert names.count("chat gpt-4o-mini") == 3
    assert names.count("embeddings text-embedding-3-small") == 2
    assert {"agent.node ask", "agent.node look", "execute_tool look", "in a thread"} <= set(names)
    assert {"invoke_agent sales", "checkpoint put", "checkpoint get"} <= set(names)


def test_a_provider_of_our_own_on_request():
    """With ``own`` the program's provider gets none of ours."""
    assert set(_spans("own")) == {"none", "request", "inner"}


def test_nothing_is_loaded_to_look():
    """A program without OpenTelemetry stays one."""
    code = (
        "import asyncio, sys\n"
        "from agentinfra.observability.tracing import Tracing, start_span\n"
        "from agentinfra.settings import TracingSettings\n"
        "async def main():\n"
        "    async with Tracing(TracingSettings()):\n"
        "        with start_span('a'): pass\n"
        "asyncio.run(main())\n"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_resource_and_sampler_of_the_environment():
    """What our settings do not say the SDK reads from OTEL_* itself."""
    code = (
        "import asyncio, sys\n"
        "from agentinfra.observability.tracing import Tracing, start_span\n"
        "from agentinfra.settings import TracingSettings\n"
        "async def main():\n"
        "    async with Tracing(TracingSettings(exporter='console')):\n"
        "        with start_span('a', {'long': 'x' * 100}): pass\n"
        "asyncio.run(main())\n"
    )

    def shown(**environment):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]

    (span,) = shown(
        OTEL_RESOURCE_ATTRIBUTES="service.name=checkout,deployment.environment.name=prod",
        OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="10",
    )
    assert span["resource"]["attributes"]["service.name"] == "checkout"
    assert span["resource"]["attributes"]["deployment.environment.name"] == "prod"
    assert span["attributes"]["long"] == "x" * 10
    assert shown(OTEL_TRACES_SAMPLER="always_off") == []
    assert shown()[0]["resource"]["attributes"]["service.name"] == "agentinfra"


def test_the_global_provider_is_never_set():
    """Tracing sets no provider for the process."""
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
