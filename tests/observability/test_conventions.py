"""Spans of every kind, judged by OpenTelemetry's own description of its conventions.

What is judged is what arrives at a collector. The description of the conventions for generative AI
is not part of the project: without it these tests are skipped. The stable conventions for databases
and for HTTP servers are few words, and are here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from fastapi import FastAPI

from agentinfra import InfraRuntime, Settings
from agentinfra.errors import AgentInfraError
from agentinfra.observability.nodes import agent_span, tool_span
from agentinfra.testing import faults
from agentinfra.web import trace_requests

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "semconv"
MODEL, SCHEMAS = DATA / "model", DATA / "docs" / "gen-ai"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the conventions are not beside us")

HELLO = [{"role": "user", "content": "hello there"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Look outside.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TURNS = [
    {"role": "system", "content": "Be short."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
]

KINDS = {"int": int, "double": float, "string": str, "boolean": bool, "string[]": list}
CONTENT = {
    "gen_ai.input.messages": "gen-ai-input-messages.json",
    "gen_ai.output.messages": "gen-ai-output-messages.json",
    "gen_ai.tool.definitions": "gen-ai-tool-definitions.json",
}
OTHERS: dict[str, Any] = {
    "db.system.name": str,
    "db.operation.name": str,
    "db.collection.name": str,
    "db.response.status_code": str,
    "db.response.returned_rows": int,
    "http.request.method": str,
    "http.request.method_original": str,
    "http.response.status_code": int,
    "http.route": str,
    "url.path": str,
    "url.scheme": str,
    "server.address": str,
    "server.port": int,
    "error.type": str,
}
"""Attributes of the stable conventions, and their types."""

EXCEPTION = {"exception.type", "exception.message", "exception.stacktrace"}


@dataclass
class Rules:
    """What is said of one kind of span."""

    kind: str
    required: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)


class Conventions:
    """The conventions for generative AI, as their authors describe them."""

    @cached_property
    def groups(self) -> dict[str, dict[str, Any]]:
        files = [file for file in MODEL.rglob("*.yaml") if "deprecated" not in file.parts]
        groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
        return {group["id"]: group for group in groups}

    @cached_property
    def attributes(self) -> dict[str, Any]:
        return {
            one["id"]: one["type"]
            for group in self.groups.values()
            for one in group.get("attributes", ())
            if "id" in one
        }

    @cached_property
    def deprecated(self) -> set[str]:
        file = MODEL / "gen-ai" / "deprecated" / "registry-deprecated.yaml"
        return set(re.findall(r"- id: (gen_ai\.[\w.]+)", file.read_text()))

    def rules(self, *groups: str) -> Rules:
        """Return what a kind of span has to have, and may have."""
        rules = Rules("")
        for described in map(self.groups.__getitem__, groups):
            if "extends" in described:
                above = self.rules(described["extends"])
                rules.required |= above.required
                rules.known |= above.known
            rules.kind = described.get("span_kind", rules.kind)
            for one in described.get("attributes", ()):
                rules.known.add(one["ref"])
                if one.get("requirement_level") == "required":
                    rules.required.add(one["ref"])
        return rules


CONVENTIONS = Conventions()
GROUPS = {
    "chat": ("span.gen_ai.inference.client", "span.openai.inference.client"),
    "embeddings": ("span.gen_ai.embeddings.client",),
    "retrieval": ("span.gen_ai.retrieval.client",),
    "invoke_agent": ("span.gen_ai.invoke_agent.internal",),
    "execute_tool": ("span.gen_ai.execute_tool.internal",),
}
TARGETS = {
    "chat": "gen_ai.request.model",
    "embeddings": "gen_ai.request.model",
    "retrieval": "gen_ai.data_source.id",
    "invoke_agent": "gen_ai.agent.name",
    "execute_tool": "gen_ai.tool.name",
}


def faults_of(span: Any, *, contents: bool) -> Iterator[str]:
    """Give what the conventions have against a span that arrived."""
    values = attributes(span)
    kind = {1: "internal", 2: "server", 3: "client"}[span.kind]
    operation = values.get("gen_ai.operation.name")
    rules = Rules(kind)
    if operation is not None:
        rules = CONVENTIONS.rules(*GROUPS[operation])
    elif "db.system.name" in values:
        rules = Rules("client", {"db.operation.name"})
    elif "http.request.method" in values:
        rules = Rules("server", {"url.path", "url.scheme"})
    named = name_of(values)
    if named not in (None, span.name):
        yield f"its name is not {named}"
    if rules.kind != kind:
        yield f"its kind is {kind}, not {rules.kind}"
    for name in rules.required - values.keys():
        yield f"lacks {name}"
    if "server.port" in values and "server.address" not in values:
        yield "has a port and no address"
    for name, value in values.items():
        yield from faults_of_value(name, value, rules if operation is not None else None)
    yield from faults_of_ending(span, values)
    if not contents:
        yield from (f"shows {name}" for name in CONTENT.keys() & values.keys())


def name_of(values: dict[str, Any]) -> str | None:
    """Return what a span with these attributes is to be called, None where nothing says so."""
    operation = values.get("gen_ai.operation.name")
    if operation is not None:
        return f"{operation} {values.get(TARGETS[operation])}"
    if "http.request.method" in values:
        method = values["http.request.method"].replace("_OTHER", "HTTP")
        return f"{method} {values.get('http.route', '')}".strip()
    return None


def faults_of_value(name: str, value: Any, rules: Rules | None) -> Iterator[str]:
    if name in CONVENTIONS.deprecated:
        yield f"{name} is deprecated"
    if name in CONTENT:
        schema = json.loads((SCHEMAS / CONTENT[name]).read_text())
        try:
            jsonschema.validate(json.loads(value), schema)
        except jsonschema.ValidationError as error:
            yield f"{name} does not fit its schema: {error.message}"
    elif name.startswith("agentinfra."):
        return
    elif name in OTHERS:
        if not isinstance(value, OTHERS[name]):
            yield f"{name} is {value!r}"
    elif name not in CONVENTIONS.attributes:
        yield f"{name} is no attribute of the conventions"
    elif name.startswith("gen_ai.") and rules is not None and name not in rules.known:
        yield f"{name} is none of this kind of span"
    else:
        yield from faults_of_type(name, value)


def faults_of_type(name: str, value: Any) -> Iterator[str]:
    wanted = CONVENTIONS.attributes[name]
    if isinstance(wanted, dict):
        if value not in {member["value"] for member in wanted["members"]}:
            yield f"{name} is {value!r}, none of its values"
    elif type(value) is not KINDS[wanted]:
        yield f"{name} is {value!r}, no {wanted}"


def faults_of_ending(span: Any, values: dict[str, Any]) -> Iterator[str]:
    failed = span.status.code == 2
    if failed is not ("error.type" in values):
        yield f"failed is {failed}, error.type {values.get('error.type')!r}"
    if span.status.code == 1:
        yield "an instrumentation says ok, which is the program's to say"
    for event in span.events:
        if event.name == "exception" and attributes(event).keys() != EXCEPTION:
            yield f"its exception has {sorted(attributes(event))}"


def attributes(thing: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in thing.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [_value(one) for one in found.values] if kind == "array_value" else found


async def talk(llm: Any, server: Any) -> None:
    """Have model calls of every kind end well and badly."""
    await llm.chat_completion(HELLO, temperature=0, max_tokens=50)
    await llm.chat_completion(TURNS)
    await llm.chat_completion_with_tools(HELLO, [TOOL])
    await llm.structured(HELLO, TOOL["function"]["parameters"])
    async with await llm.chat_completion(HELLO, stream=True) as stream:
        async for _ in stream:
            pass
    async with await llm.chat_completion(HELLO, stream=True) as left:
        async for _ in left:
            break
    await llm.get_embeddings(["one", "two"])
    async with llm.budget(usd="0.0000000001"):
        await badly(llm.chat_completion(HELLO))
    for fault in (faults.unauthorized(), faults.status(400)):
        server.fail(fault)
        await badly(llm.chat_completion(HELLO))
    # Until it is over: an attempt may be given up before the server has seen it.
    server.fail_always(faults.hang())
    await badly(llm.chat_completion(HELLO, timeout=0.05))
    server.recover()
    server.fail(faults.server_error(), times=1)
    await llm.chat_completion(HELLO)
    server.fail(faults.unauthorized(), times=1)
    await badly(llm.get_embeddings(["three"]))


async def retrieve(rt: Any) -> None:
    """Have the database and the vectors answer and refuse."""
    await rt.db.query("SELECT 1")
    await badly(rt.db.query("SELECT * FROM nowhere"))
    await badly(rt.db.query("DELETE FROM nowhere"))
    await rt.db.execute("CREATE TABLE here (n int)")
    async with rt.db.transaction() as connection:
        await connection.execute("INSERT INTO here VALUES (1)")
    docs = rt.db.vectors("docs")
    await docs.upsert([{"id": "a", "text": "a"}], embeddings=[[1.0, 0.0]])
    await docs.search([1.0, 0.0], top_k=1)
    await badly(docs.search([1.0, 0.0, 0.0]))
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    await rt.checkpointer.aget_tuple(config)


async def act(rt: Any) -> None:
    """Have agents, nodes, tools and requests do their work and fail."""
    app = FastAPI()

    @app.get("/answer")
    async def answer() -> str:
        return "42"

    @app.get("/break")
    async def broken() -> None:
        raise ZeroDivisionError

    transport = httpx.ASGITransport(app=trace_requests(app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        for method, path in (("GET", "/answer"), ("GET", "/break"), ("BREW", "/answer")):
            await client.request(method, path)
    agent = agent_span("sales", conversation="t", model="gpt-4o-mini")
    with agent, rt.node("plan", agent="sales"), tool_span("get_weather", call_id="c1"):
        pass
    for span in (agent_span("sales"), rt.node("plan", agent="sales"), tool_span("get_weather")):
        with suppress(ZeroDivisionError), span:
            raise ZeroDivisionError


async def badly(call: Any) -> None:
    with pytest.raises(AgentInfraError):
        await call


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("contents", [False, True])
async def test_spans_are_as_the_conventions_have_them(
    contents, collected, exporter, openai_server, postgres_url
):
    """Every kind of span, good and failed, has the name, kind and attributes it is to have."""
    settings = Settings(
        llm={"base_url": openai_server.base_url, "api_key": "k", "max_attempts": 2},
        database={"url": postgres_url},
        logging={"enabled": False},
        tracing={
            "exporter": exporter,
            "endpoint": collected.url,
            "capture_content": contents,
        },
    )
    async with AsyncExitStack() as stack:
        rt = await stack.enter_async_context(InfraRuntime(settings))
        await talk(rt.llm, openai_server)
        await retrieve(rt)
        await act(rt)
    seen = {span.name for span in collected.spans}
    assert seen >= {
        "chat gpt-4o-mini",
        "embeddings text-embedding-3-small",
        "retrieval docs",
        "VECTOR_UPSERT docs",
        "invoke_agent sales",
        "execute_tool get_weather",
        "agent.node plan",
        "checkpoint get",
        "GET /answer",
        "HTTP /answer",
    }
    found = sorted(
        {
            f"{span.name}: {fault}"
            for span in collected.spans
            for fault in faults_of(span, contents=contents)
        }
    )
    assert not found
    shown = {name for span in collected.spans for name in attributes(span)} & CONTENT.keys()
    assert shown == (CONTENT.keys() if contents else set())
