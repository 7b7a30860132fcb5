"""What a call leaves behind: one span, its events, its series, whatever becomes of it."""

import asyncio
import gc
import json
from contextlib import asynccontextmanager

import jsonschema
import pytest
from llm_support import HELLO
from openapi_support import DESCRIPTION
from raw_server import answer, event, piece, raw_server, reply

from agentinfra import InfraRuntime, Settings
from agentinfra.errors import BudgetExceededError, LLMError, StructuredOutputError
from agentinfra.testing import OpenAIServer, assert_no_leaks, faults
from agentinfra.testing.replies import Reply

SEMCONV = DESCRIPTION.parent / "semconv" / "docs" / "gen-ai"
OFF = {"enabled": False}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Say it.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@asynccontextmanager
async def _runtime(base_url, *, capture=False, **llm):
    settings = Settings(
        llm={"base_url": base_url, "api_key": "x", **llm},
        database=OFF,
        checkpointer=OFF,
        cache=OFF,
        logging={"level": "critical"},
        tracing={"capture_content": capture},
    )
    async with InfraRuntime(settings) as rt:
        rt.ended = []
        rt.tracing.subscribe(rt.ended.append)
        yield rt


@pytest.fixture
async def rt(server):
    async with _runtime(server.base_url, max_attempts=2) as runtime:
        yield runtime


def _series(rt, name):
    """Return the lines of a metric that have counted something."""
    lines = rt.metrics.expose().splitlines()
    return [line for line in lines if line.startswith(name) and not line.endswith(" 0")]


async def test_a_span_says_what_was_used():
    """Cached, written and thought tokens, the answer's id, and its price."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    give = reply(answer(usage=usage))
    async with raw_server(give) as server, _runtime(server.base_url) as rt:
        await rt.llm.chat_completion(HELLO)
    said = rt.ended[0].attributes
    assert said["gen_ai.usage.cache_read.input_tokens"] == 40
    assert said["gen_ai.usage.cache_creation.input_tokens"] == 30
    assert said["gen_ai.usage.reasoning.output_tokens"] == 20
    assert said["gen_ai.response.id"] == "c-1"
    assert said["agentinfra.cost_usd"] > 0


async def test_labels_name_the_model_that_was_asked_for():
    """Good and failed calls of a model share a label, whatever the server calls it."""
    dated = {**answer(), "model": "gpt-4o-mini-2024-07-18"}
    replies = iter([reply(dated), reply({"error": {"message": "no"}}, status=400)])
    async with raw_server(lambda _: next(replies)) as server, _runtime(server.base_url) as rt:
        await rt.llm.chat_completion(HELLO)
        with pytest.raises(LLMError):
            await rt.llm.chat_completion(HELLO)
        calls = _series(rt, "llm_calls_total{")
        latency = _series(rt, "llm_latency_seconds_count")
    assert [line.split("{")[1] for line in calls] == [
        'model="gpt-4o-mini",outcome="ok"} 1',
        'model="gpt-4o-mini",outcome="BadRequestError"} 1',
    ]
    assert [line.split("{")[1] for line in latency] == [
        'model="gpt-4o-mini",operation="chat",outcome="ok"} 1',
        'model="gpt-4o-mini",operation="chat",outcome="BadRequestError"} 1',
    ]
    assert rt.ended[0].attributes["gen_ai.response.model"] == "gpt-4o-mini-2024-07-18"


async def test_a_span_names_the_server_that_answered(server):
    """After a fall-back it is the other one; the call's label stays the caller's."""
    server.fail_always(faults.server_error())
    async with OpenAIServer() as other:
        fields = {
            "endpoints": {"backup": {"base_url": other.base_url, "api_key": "k"}},
            "fallback_models": ["backup/gpt-4o"],
        }
        async with _runtime(server.base_url, max_attempts=1, **fields) as rt:
            await rt.llm.chat_completion(HELLO)
            assert 'model="gpt-4o"' in _series(rt, "llm_cost_usd_total")[0]
    (span,) = rt.ended
    assert f":{span.attributes['server.port']}/" in other.base_url
    assert span.attributes["gen_ai.request.model"] == "gpt-4o-mini"
    assert span.error is None


async def test_failures_are_told_apart(rt, server):
    """By chat, embeddings and structured output; each series is there from the start."""
    assert rt.metrics.expose().count("llm_failures_total{component=") == 3
    server.fail(faults.unauthorized(), times=2)
    for call in (rt.llm.chat_completion(HELLO), rt.llm.get_embeddings(["a"])):
        with pytest.raises(LLMError):
            await call
    server.fail(faults.unauthorized())
    with pytest.raises(LLMError):
        await rt.llm.structured(HELLO, {"title": "A", "type": "object"})
    for _ in range(2):
        server.script(Reply(text="no JSON at all"))
    with pytest.raises(StructuredOutputError):
        schema = {"title": "A", "type": "object", "required": ["a"]}
        await rt.llm.structured(HELLO, schema, repair_rounds=0, max_tokens=5)
    counts = dict(line.rsplit(" ", 1) for line in _series(rt, "llm_failures_total"))
    assert counts == {
        'llm_failures_total{component="chat"}': "1",
        'llm_failures_total{component="embeddings"}': "1",
        'llm_failures_total{component="structured"}': "2",
    }


async def test_retries_and_refusals_are_events(server, capsys):
    """The trace tells why a call took as long as it did, and why one never left."""
    settings = Settings(
        llm={"base_url": server.base_url, "api_key": "x"},
        database=OFF,
        checkpointer=OFF,
        cache=OFF,
        logging={"level": "critical"},
        tracing={"exporter": "console"},
    )
    async with InfraRuntime(settings) as rt:
        server.fail(faults.rate_limited(retry_after=0.01))
        await rt.llm.chat_completion(HELLO)
        async with rt.llm.budget(usd=0, name="none"):
            with pytest.raises(BudgetExceededError):
                await rt.llm.chat_completion(HELLO)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    retried, refused = (json.loads(line) for line in lines)
    assert [told["name"] for told in retried["events"]] == [
        "agentinfra.attempt_failed",
        "agentinfra.retry",
    ]
    assert retried["events"][0]["attributes"]["error.type"] == "RateLimitedError"
    assert retried["attributes"]["agentinfra.attempts"] == 2
    assert refused["events"][0]["attributes"]["agentinfra.budgets"] == ["none"]


async def test_who_leaves_a_stream_makes_no_error(rt, server):
    """Its span and its series agree on what was used."""
    server.script(Reply(text="word " * 1000, chunk_delay=0.001))
    async with await rt.llm.chat_completion(HELLO, stream=True) as stream:
        async for _ in stream:
            break
    (span,) = rt.ended
    assert span.error is None
    assert span.attributes["agentinfra.outcome"] == "left"
    assert span.attributes["agentinfra.usage_estimated"] is True
    spent = float(_series(rt, "llm_cost_usd_total")[0].rsplit(" ", 1)[1])
    assert span.attributes["agentinfra.cost_usd"] == pytest.approx(spent)
    assert 'outcome="left"' in _series(rt, "llm_calls_total")[0]
    assert _series(rt, "llm_failures_total") == []


async def test_a_cancelled_call_is_no_failure(rt, server):
    """Nobody's fault: it is counted as cancelled."""
    server.fail(faults.hang())
    task = asyncio.create_task(rt.llm.chat_completion(HELLO))
    await server.wait_for_requests(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert 'outcome="cancelled"' in _series(rt, "llm_calls_total")[0]
    assert rt.ended[0].error is None
    assert _series(rt, "llm_failures_total") == []


async def test_a_dropped_stream_settles_itself():
    """Without aclose: booked, released, its span ended, its connection closed."""
    closed = asyncio.Event()

    async def forever():
        try:
            yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
            while True:
                yield event(piece({"content": "word "}))
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    async def use(llm):
        async for _ in await llm.chat_completion(HELLO, stream=True):
            break

    async with (
        assert_no_leaks(),
        raw_server(lambda _: forever()) as server,
        _runtime(server.base_url) as rt,
        rt.llm.budget(usd=1) as budget,
    ):
        await use(rt.llm)
        gc.collect()
        for _ in range(3):
            await asyncio.sleep(0)
        assert (budget.reserved, budget.spent > 0) == (0, True)
        assert rt.ended[0].attributes["agentinfra.outcome"] == "left"
        assert _series(rt, "llm_in_flight") == []
        await asyncio.wait_for(closed.wait(), 5)


async def test_a_stream_never_read_settles_itself(rt, server):
    """Dropped before its first piece was taken."""
    stream = await rt.llm.chat_completion(HELLO, stream=True)
    del stream
    gc.collect()
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(rt.ended) == 1
    assert _series(rt, "llm_in_flight") == []


async def test_messages_follow_the_conventions(server):
    """Calls, answers, pictures and tools are said; a picture's data is not copied."""
    if not SEMCONV.is_dir():
        pytest.skip("the conventions are not here")
    picture = "data:image/png;base64," + "A" * 100_000
    conversation = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": picture}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "18 C"},
    ]
    async with _runtime(server.base_url, capture=True) as rt:
        await rt.llm.chat_completion(conversation, tools=TOOLS)
        await rt.llm.chat_completion_with_tools(HELLO, TOOLS)
    first, second = (span.attributes for span in rt.ended)
    asked = json.loads(first["gen_ai.input.messages"])
    assert [message["role"] for message in asked] == ["system", "user", "assistant", "tool"]
    assert asked[1]["parts"][1] == {
        "type": "uri",
        "modality": "image",
        "uri": "data:image/png;base64",
        "characters": 100_000,
    }
    assert asked[2]["parts"][0]["arguments"] == {"city": "Rome"}
    assert asked[3]["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "18 C"}]
    answered = json.loads(second["gen_ai.output.messages"])
    assert answered[0]["parts"][0]["name"] == "get_weather"
    assert json.loads(first["gen_ai.tool.definitions"])[0]["name"] == "get_weather"
    for kind, value in (("input", asked), ("output", answered)):
        schema = json.loads((SEMCONV / f"gen-ai-{kind}-messages.json").read_text())
        jsonschema.validate(value, schema)


@pytest.mark.parametrize("ratio", [1.0, 0.0])
async def test_a_time_on_the_page_leads_to_its_trace(ratio):
    """Beside its bucket stands the trace, where one was recorded that can be looked at."""
    tracing = {"exporter": "console", "sample_ratio": ratio}
    async with OpenAIServer() as server:
        llm = {"base_url": server.base_url, "api_key": "x"}
        rooms = dict.fromkeys(("database", "checkpointer", "cache"), OFF)
        given = Settings(llm=llm, tracing=tracing, logging={"level": "critical"}, **rooms)
        async with InfraRuntime(given) as rt:
            reply = await rt.llm.chat_completion(HELLO)
            page = rt.metrics.expose(openmetrics=True)
            async with await rt.llm.chat_completion(HELLO, stream=True) as stream:
                streamed = await stream.response()
            later = rt.metrics.expose(openmetrics=True)
    assert (f'trace_id="{reply.trace_id}"' in page) == (ratio == 1.0)
    assert (f'trace_id="{streamed.trace_id}"' in later) == (ratio == 1.0)
